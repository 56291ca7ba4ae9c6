"""Files to points."""

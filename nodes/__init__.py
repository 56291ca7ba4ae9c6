"""One decision of a run each."""

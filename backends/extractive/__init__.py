"""The reader that needs no language model."""

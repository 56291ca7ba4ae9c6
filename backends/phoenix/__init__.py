"""Arize Phoenix: the process that `make run` starts, and the spans sent to it."""

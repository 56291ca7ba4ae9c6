"""Several processes that answer: one that keeps the index leads them, and their clients see one."""

"""all-MiniLM-L6-v2 inside the process: no server, no PyTorch, no download."""

"""Whatever has a socket, a model or a file format of its own."""

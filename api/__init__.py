"""What server.py mounts, a router a file."""

"""What `tandem` does, a command a file: each adds its options and runs. Light to import."""

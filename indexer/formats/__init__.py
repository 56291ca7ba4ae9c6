"""One kind of file each, from bytes to blocks."""

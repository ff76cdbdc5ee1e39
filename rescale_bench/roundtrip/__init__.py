"""One cell: HR down, through a file, and up again; tiles, and the proof that a method keeps its contract."""

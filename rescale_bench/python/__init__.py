"""What a Python session or a notebook does instead of a command line: the same engine, stores and errors."""

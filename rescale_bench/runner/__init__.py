"""Plan a grid of cells, run what is missing, keep every result."""

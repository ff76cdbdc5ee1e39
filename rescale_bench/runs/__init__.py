"""What a run folder holds: rows, journal, table, kept images. No other room knows its files."""

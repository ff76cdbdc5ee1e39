"""What a plugin sees: the hooks, the records they yield, and how they are found and named."""

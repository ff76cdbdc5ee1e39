"""Files of weights: found, fetched, read safely, and chosen for a method at a scale."""

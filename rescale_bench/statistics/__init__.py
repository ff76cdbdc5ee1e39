"""Paired differences with their intervals, ranks, and BD-rate: numbers in, numbers out."""

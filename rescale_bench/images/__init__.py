"""Pixels in and out of files, colour, resampling and rounding."""

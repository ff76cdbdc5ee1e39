"""A plugin-based benchmark for image rescaling: downscale, 8-bit file, upscale, measure."""

__version__ = "0.1.0"

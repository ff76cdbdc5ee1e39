"""Tell whether imagecodecs is there with what a codec needs."""

from __future__ import annotations


def problems(feature: str, codec: str) -> list[str]:
    """Say what is missing: the package, or one of its parts ("JPEGLS", "JPEGXL")."""
    try:
        import imagecodecs
    except ImportError as error:
        return [f"codec {codec}: imagecodecs cannot be imported ({error}); pip install imagecodecs"]
    if getattr(imagecodecs, feature).available:
        return []
    return [f"codec {codec}: this imagecodecs was built without {feature}; pip install a wheel from PyPI"]

"""Encode and decode through Pillow, with arrays on both ends."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def encode(pixels: np.ndarray, file_format: str, **settings: Any) -> bytes:
    """Write uint8 (H, W, 1 or 3) as a file of the given Pillow format; nothing but pixels is stored."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, file_format, **settings)
    return buffer.getvalue()


def decode(file: bytes) -> np.ndarray:
    """Read a file back as uint8 (H, W, 1) where it is grey, else (H, W, 3)."""
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(file)) as image:
        if image.mode == "L":
            return np.asarray(image)[:, :, None]
        return np.asarray(image.convert("RGB"))


def problems(feature: str, codec: str) -> list[str]:
    """Say what is missing when Pillow was built without a format ("webp", "jpg_2000", …)."""
    from PIL import features

    if features.check(feature):
        return []
    return [f"codec {codec}: this Pillow was built without {feature}; pip install --force-reinstall pillow"]

"""Pixels of the pictures: where the methods fail most, cutting it out, and packing it into text."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import ImageError

if TYPE_CHECKING:
    import numpy as np

THUMB_QUALITY = 72


@dataclass(frozen=True)
class Box:
    """A rectangle in HR pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """Cut it out of pixels (H, W, 3)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


def read_pixels(path: Path) -> np.ndarray:
    """Read a kept output as uint8 (H, W, 3); grey becomes three equal channels. Raises ImageError."""
    from rescale_bench.images.files import read_image

    pixels = read_image(path).pixels
    return pixels if pixels.shape[2] == 3 else pixels.repeat(3, axis=2)


def squared_error(hr: np.ndarray, restored: Iterable[np.ndarray]) -> np.ndarray:
    """Add up squared errors over methods and channels. hr, restored: uint8 (H, W, 3) → int64 (H, W)."""
    import numpy as np

    total = np.zeros(hr.shape[:2], dtype=np.int64)
    for pixels in restored:
        total += ((hr.astype(np.int32) - pixels.astype(np.int32)) ** 2).sum(axis=2)
    return total


def worst_box(error: np.ndarray, side: int) -> Box:
    """Find the side × side square (smaller at most by the image) that holds the largest sum of error (H, W)."""
    import numpy as np

    height, width = min(side, error.shape[0]), min(side, error.shape[1])
    table = np.pad(error.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums = table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return Box(int(left), int(top), width, height)


def enlarged(lr: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Repeat LR pixels (h, w, 3) to an HR (height, width), each HR pixel taking the LR pixel that it lies in."""
    import numpy as np

    rows = ((np.arange(size[0]) + 0.5) * lr.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * lr.shape[1] / size[1]).astype(int)
    repeated: np.ndarray = lr[rows][:, columns]
    return repeated


def reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """Shrink pixels (H, W, 3) so that no side is longer than the given one; smaller ones stay as they are."""
    import numpy as np
    from PIL import Image

    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def data_uri(pixels: np.ndarray, quality: int) -> str:
    """Pack uint8 (H, W, 3) into a WebP data URI; quality 0 is lossless. Raises ImageError."""
    return "data:image/webp;base64," + base64.b64encode(webp(pixels, quality)).decode("ascii")


def webp(pixels: np.ndarray, quality: int) -> bytes:
    """Write uint8 (H, W, 3) as a WebP file; quality 0 is lossless. Raises ImageError."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": quality, "method": 4} if quality else {"lossless": True, "method": 3}
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", **options)
    except (OSError, ValueError, KeyError) as error:
        raise ImageError(
            f"cannot pack a picture of {pixels.shape[1]}×{pixels.shape[0]} pixels as WebP: {error}"
        ) from None
    return buffer.getvalue()

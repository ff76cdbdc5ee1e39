"""JPEG XL, lossless (modular mode), through imagecodecs (libjxl)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Option, Value
from rescale_bench.codecs import imagecodecs_files

if TYPE_CHECKING:
    import numpy as np


def encode(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as JPEG XL."""
    import imagecodecs

    planes = pixels[:, :, 0].copy() if pixels.shape[2] == 1 else pixels
    return bytes(imagecodecs.jpegxl_encode(planes, lossless=True, effort=int(options["effort"]), numthreads=1))


def decode(file: bytes) -> np.ndarray:
    """Read JPEG XL back as uint8 (H, W, 1 or 3)."""
    import imagecodecs
    import numpy as np

    pixels = np.asarray(imagecodecs.jpegxl_decode(file, numthreads=1))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


JXL = Codec(
    name="jxl",
    summary="JPEG XL lossless",
    lossless=True,
    extension=".jxl",
    encode=encode,
    decode=decode,
    options=(Option("effort", 7, "libjxl's effort; 9 is slower and larger on small images", low=1, high=9),),
    requires=partial(imagecodecs_files.problems, "JPEGXL", "jxl"),
)

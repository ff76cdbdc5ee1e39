"""JPEG-LS, lossless, RGB sample-interleaved and without a colour transform, through imagecodecs (CharLS)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Value
from rescale_bench.codecs import imagecodecs_files

if TYPE_CHECKING:
    import numpy as np


def encode(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as JPEG-LS."""
    import imagecodecs

    del options
    return bytes(imagecodecs.jpegls_encode(pixels[:, :, 0].copy() if pixels.shape[2] == 1 else pixels))


def decode(file: bytes) -> np.ndarray:
    """Read JPEG-LS back as uint8 (H, W, 1 or 3)."""
    import imagecodecs
    import numpy as np

    pixels = np.asarray(imagecodecs.jpegls_decode(file))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


JPEGLS = Codec(
    name="jpegls",
    summary="JPEG-LS lossless, RGB sample-interleaved",
    lossless=True,
    extension=".jls",
    encode=encode,
    decode=decode,
    requires=partial(imagecodecs_files.problems, "JPEGLS", "jpegls"),
)

"""PNG through Pillow, at its default compression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Option, Value
from rescale_bench.codecs import pillow_files

if TYPE_CHECKING:
    import numpy as np


def encode(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as PNG."""
    return pillow_files.encode(pixels, "PNG", optimize=bool(options["optimize"]))


PNG = Codec(
    name="png",
    summary="PNG, Pillow's default compression",
    lossless=True,
    extension=".png",
    encode=encode,
    decode=pillow_files.decode,
    options=(Option("optimize", False, "try harder (Pillow's optimize flag, zlib level 9)"),),
)

"""JPEG through Pillow: by default 4:2:0 with the standard Huffman tables, as Pillow, OpenCV and libjpeg write it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Option, Value
from rescale_bench.codecs import pillow_files

if TYPE_CHECKING:
    import numpy as np

SUBSAMPLING: Mapping[Value, int] = MappingProxyType({"444": 0, "422": 1, "420": 2})
"""Pillow's numbers of the chroma subsamplings."""


def encode(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as JPEG; a grey image has no chroma to subsample."""
    return pillow_files.encode(
        pixels,
        "JPEG",
        quality=int(options["quality"]),
        subsampling=SUBSAMPLING[options["subsampling"]],
        optimize=bool(options["optimize"]),
    )


JPEG = Codec(
    name="jpeg",
    summary="JPEG (jpeg:90), 4:2:0 and standard Huffman tables unless told otherwise",
    lossless=False,
    extension=".jpg",
    encode=encode,
    decode=pillow_files.decode,
    options=(
        Option("quality", 75, "libjpeg's quality", low=1, high=100),
        Option("subsampling", "420", "chroma subsampling", choices=("420", "422", "444")),
        Option("optimize", False, "compute the Huffman tables for each image"),
    ),
)

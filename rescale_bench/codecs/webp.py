"""WebP through Pillow: lossless by default, lossy at a quality (webp:80)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Option, Value
from rescale_bench.codecs import pillow_files

if TYPE_CHECKING:
    import numpy as np

METHOD, LOSSLESS_EFFORT = 4, 75
"""libwebp's default; method 6 with effort 100 takes 70 times as long (spec/metrics.md)."""


def encode(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as WebP, which stores grey as three equal channels."""
    quality = int(options["quality"])
    if quality == 0:
        return pillow_files.encode(pixels, "WEBP", lossless=True, quality=LOSSLESS_EFFORT, method=METHOD)
    return pillow_files.encode(pixels, "WEBP", lossless=False, quality=quality, method=METHOD)


WEBP = Codec(
    name="webp",
    summary="WebP lossless, or lossy at a quality (webp:80)",
    lossless=True,
    extension=".webp",
    encode=encode,
    decode=pillow_files.decode,
    options=(Option("quality", 0, "0 is lossless, 1 to 100 lossy", low=0, high=100),),
    requires=partial(pillow_files.problems, "webp", "webp"),
)

"""PNG, JPEG, JPEG 2000 and WebP, through Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Codec, Option, Value

if TYPE_CHECKING:
    import numpy as np

SUBSAMPLING: Mapping[Value, int] = MappingProxyType({"444": 0, "422": 1, "420": 2})
"""Pillow's numbers of the chroma subsamplings."""
WEBP_METHOD, WEBP_EFFORT = 4, 75
"""libwebp's default; method 6 with effort 100 takes 70 times as long (spec/metrics.md)."""


def _encode(pixels: np.ndarray, file_format: str, **settings: Any) -> bytes:
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


def _problems(feature: str, codec: str) -> list[str]:
    """Say what is missing when Pillow was built without a format ("webp", "jpg_2000")."""
    from PIL import features

    if features.check(feature):
        return []
    return [f"codec {codec}: this Pillow was built without {feature}; pip install --force-reinstall pillow"]


def encode_png(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as PNG."""
    return _encode(pixels, "PNG", optimize=bool(options["optimize"]))


def encode_jpeg(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as JPEG; a grey image has no chroma to subsample."""
    return _encode(
        pixels,
        "JPEG",
        quality=int(options["quality"]),
        subsampling=SUBSAMPLING[options["subsampling"]],
        optimize=bool(options["optimize"]),
    )


def encode_jp2(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as a JP2 file: reversible (5/3 wavelet), or at a rate (9/7 wavelet)."""
    # Without the colour transform lossless files are a third larger: 16.50 for 12.62 bits per LR pixel
    # (spec/metrics.md).
    transform = int(pixels.shape[2] == 3)
    if rate := float(options["rate"]):
        ratio = 8 * pixels.shape[2] / rate
        return _encode(pixels, "JPEG2000", irreversible=True, mct=transform, quality_layers=[ratio])
    return _encode(pixels, "JPEG2000", irreversible=False, mct=transform)


def encode_webp(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as WebP, which stores grey as three equal channels."""
    if quality := int(options["quality"]):
        return _encode(pixels, "WEBP", lossless=False, quality=quality, method=WEBP_METHOD)
    return _encode(pixels, "WEBP", lossless=True, quality=WEBP_EFFORT, method=WEBP_METHOD)


PNG = Codec(
    name="png",
    summary="PNG, Pillow's default compression",
    lossless=True,
    extension=".png",
    encode=encode_png,
    decode=decode,
    options=(Option("optimize", False, "try harder (Pillow's optimize flag, zlib level 9)"),),
)
JPEG = Codec(
    name="jpeg",
    summary="JPEG (jpeg:90), 4:2:0 and standard Huffman tables unless told otherwise",
    lossless=False,
    extension=".jpg",
    encode=encode_jpeg,
    decode=decode,
    options=(
        Option("quality", 75, "libjpeg's quality", low=1, high=100),
        Option("subsampling", "420", "chroma subsampling", choices=("420", "422", "444")),
        Option("optimize", False, "compute the Huffman tables for each image"),
    ),
)
JP2 = Codec(
    name="jp2",
    summary="JPEG 2000 lossless with the reversible colour transform, or lossy at a rate (jp2:4)",
    lossless=True,
    lossy_option="rate",
    extension=".jp2",
    encode=encode_jp2,
    decode=decode,
    options=(
        Option("rate", 0.0, "0 is lossless; bits per pixel, to which the header of 85 bytes is added", low=0, high=24),
    ),
    requires=partial(_problems, "jpg_2000", "jp2"),
)
WEBP = Codec(
    name="webp",
    summary="WebP lossless, or lossy at a quality (webp:80)",
    lossless=True,
    extension=".webp",
    encode=encode_webp,
    decode=decode,
    options=(Option("quality", 0, "0 is lossless, 1 to 100 lossy", low=0, high=100),),
    requires=partial(_problems, "webp", "webp"),
)

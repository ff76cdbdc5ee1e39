"""JPEG-LS, JPEG XL and AVIF, through imagecodecs (CharLS, libjxl, libavif)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Option, Value

if TYPE_CHECKING:
    import numpy as np


def _problems(feature: str, codec: str) -> list[str]:
    """Say what is missing: the package, or one of its parts ("JPEGLS", "JPEGXL", "AVIF")."""
    try:
        import imagecodecs
    except ImportError as error:
        return [f"codec {codec}: imagecodecs cannot be imported ({error}); pip install imagecodecs"]
    if getattr(imagecodecs, feature).available:
        return []
    return [f"codec {codec}: this imagecodecs was built without {feature}; pip install a wheel from PyPI"]


def _planes(pixels: np.ndarray) -> np.ndarray:
    """Turn (H, W, 1) into (H, W), as imagecodecs takes grey images."""
    return pixels[:, :, 0].copy() if pixels.shape[2] == 1 else pixels


def _pixels(planes: np.ndarray) -> np.ndarray:
    """Undo _planes."""
    return planes[:, :, None] if planes.ndim == 2 else planes


def encode_jpegls(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as JPEG-LS, RGB sample-interleaved and without a colour transform."""
    import imagecodecs

    del options
    return bytes(imagecodecs.jpegls_encode(_planes(pixels)))


def decode_jpegls(file: bytes) -> np.ndarray:
    """Read JPEG-LS back as uint8 (H, W, 1 or 3)."""
    import imagecodecs
    import numpy as np

    return _pixels(np.asarray(imagecodecs.jpegls_decode(file)))


def encode_jxl(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as JPEG XL: lossless (modular mode), or at a distance."""
    import imagecodecs

    distance, effort = float(options["distance"]), int(options["effort"])
    how = {"distance": distance, "lossless": False} if distance else {"lossless": True}
    return bytes(imagecodecs.jpegxl_encode(_planes(pixels), effort=effort, numthreads=1, **how))


def decode_jxl(file: bytes) -> np.ndarray:
    """Read JPEG XL back as uint8 (H, W, 1 or 3)."""
    import imagecodecs
    import numpy as np

    return _pixels(np.asarray(imagecodecs.jpegxl_decode(file, numthreads=1)))


def encode_avif(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as AVIF by libaom, grey as three equal channels."""
    import imagecodecs
    import numpy as np

    return bytes(
        imagecodecs.avif_encode(
            # One plane is stored without loss whatever the quality (imagecodecs 2026.3.6); two more cost 20 bytes.
            np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels,
            level=int(options["quality"]),
            speed=int(options["speed"]),
            pixelformat=str(options["subsampling"]),
            codec="aom",
            numthreads=1,
        )
    )


def decode_avif(file: bytes) -> np.ndarray:
    """Read AVIF back as uint8 (H, W, 3)."""
    import imagecodecs
    import numpy as np

    return np.asarray(imagecodecs.avif_decode(file, numthreads=1))


JPEGLS = Codec(
    name="jpegls",
    summary="JPEG-LS lossless, RGB sample-interleaved",
    lossless=True,
    extension=".jls",
    encode=encode_jpegls,
    decode=decode_jpegls,
    requires=partial(_problems, "JPEGLS", "jpegls"),
)
JXL = Codec(
    name="jxl",
    summary="JPEG XL lossless, or lossy at a distance (jxl:distance=1)",
    lossless=True,
    lossy_option="distance",
    extension=".jxl",
    encode=encode_jxl,
    decode=decode_jxl,
    options=(
        Option("effort", 7, "libjxl's effort; 9 is slower and larger on small images", low=1, high=9),
        Option(
            "distance", 0.0, "0 is lossless; Butteraugli distance, 1 can hardly be seen, 25 is worst", low=0, high=25
        ),
    ),
    requires=partial(_problems, "JPEGXL", "jxl"),
)
AVIF = Codec(
    name="avif",
    summary="AVIF, lossy at a quality (avif:80), 4:4:4 unless told otherwise",
    lossless=False,
    extension=".avif",
    encode=encode_avif,
    decode=decode_avif,
    options=(
        Option("quality", 60, "libavif's quality", low=1, high=100),
        Option("subsampling", "444", "chroma subsampling", choices=("420", "422", "444")),
        Option("speed", 6, "libaom's speed; smaller is slower", low=0, high=10),
    ),
    requires=partial(_problems, "AVIF", "avif"),
)

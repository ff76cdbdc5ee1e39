"""File formats for the LR: the records, and the one way in which everybody encodes and decodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Codec, Value
from rescale_bench.codecs.flif import FLIF
from rescale_bench.codecs.imagecodecs_formats import AVIF, JPEGLS, JXL
from rescale_bench.codecs.pillow_formats import JP2, JPEG, PNG, WEBP
from rescale_bench.errors import CodecError

if TYPE_CHECKING:
    import numpy as np

CODECS = (PNG, JPEGLS, JP2, JXL, WEBP, JPEG, AVIF, FLIF)


@hookimpl
def rescale_bench_codecs() -> Iterable[Codec]:
    """Yield the file formats of this package."""
    return CODECS


def is_lossless(codec: Codec, options: Mapping[str, Value]) -> bool:
    """Tell whether decoding must give the input back under these options.

    A codec whose record says lossless is lossy only where its lossy_option is above 0 (`webp:80`).
    """
    return codec.lossless and not options.get(codec.lossy_option)


def encode_decode(codec: Codec, pixels: np.ndarray, options: Mapping[str, Value]) -> tuple[bytes, np.ndarray]:
    """Encode an image, decode the bytes and check what comes back.

    pixels: uint8 (H, W, C), C = 1 or 3. options: those left out have their defaults.
    Returns the file's bytes and the decoded image, shaped like pixels.
    Raises CodecError when the codec fails, changes the size, or is lossless and changes a pixel.
    """
    import numpy as np

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise CodecError(f"codec {codec.name}: takes uint8 (H, W, 1 or 3), not {pixels.dtype} {pixels.shape}")
    values = {option.name: option.default for option in codec.options} | dict(options)
    try:
        file = codec.encode(np.ascontiguousarray(pixels), values)
    except Exception as error:
        raise CodecError(f"codec {codec.name}: {type(error).__name__}: {error}") from error
    decoded = decode(codec, file, pixels.shape[2])
    if decoded.shape != pixels.shape or decoded.dtype != np.uint8:
        raise CodecError(f"codec {codec.name}: uint8 {pixels.shape} went in, {decoded.dtype} {decoded.shape} came back")
    if is_lossless(codec, values) and not np.array_equal(decoded, pixels):
        count = int((decoded != pixels).sum())
        raise CodecError(f"codec {codec.name} is lossless by its record but changed {count} of {pixels.size} values")
    return file, decoded


def decode(codec: Codec, file: bytes, channels: int) -> np.ndarray:
    """Decode a file to (H, W, C) as the codec gives it; a grey image that was stored with three channels gets one.

    channels: of the image that was encoded, 1 or 3. Raises CodecError when the codec fails.
    """
    try:
        return _as_sent(codec.decode(file), channels)
    except Exception as error:
        raise CodecError(f"codec {codec.name}: {type(error).__name__}: {error}") from error


def _as_sent(decoded: np.ndarray, channels: int) -> np.ndarray:
    """Bring a grey image back to one channel where the format (WebP, AVIF) stores three."""
    import numpy as np

    if channels == 1 and decoded.ndim == 3 and decoded.shape[2] == 3:
        # Integer rounding in the colour conversion shifts single channels of lossy files by a step.
        total = decoded.astype(np.uint16).sum(axis=2, keepdims=True)
        return np.asarray((2 * total + 3) // 6, dtype=np.uint8)
    return decoded

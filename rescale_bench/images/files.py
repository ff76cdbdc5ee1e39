"""Image files in and out: PNG, BMP, JPEG, WebP and TIFF to 8-bit RGB, and 8-bit pixels to PNG."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from rescale_bench.errors import ImageError, UsageError
from rescale_bench.machine.printable import printable
from rescale_bench.machine.writing import reason, write_atomically

FORMATS = ("PNG", "BMP", "JPEG", "WEBP", "TIFF")
LIMIT_VARIABLE = "RESCALE_BENCH_MAX_PIXELS"
DEFAULT_LIMIT = 100_000_000
"""Pixels of the largest image that is decoded unless told otherwise."""

PLAIN_MODES = {"1", "L", "RGB", "RGBX", "P"}
ALPHA_MODES = {"LA", "La", "RGBA", "RGBa", "PA"}
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
BITS_PER_SAMPLE, SAMPLE_FORMAT, ORIENTATION = 258, 339, 274
_PILLOW_LIMIT = threading.Lock()


@dataclass(frozen=True, eq=False)
class Loaded:
    """One decoded image file.

    pixels: uint8 (H, W, 3), upright. grey: the file holds one grey channel or a palette of greys.
    notes: what reading changed ("alpha dropped"). sha256: of the file's bytes, hexadecimal.
    format: "PNG", "BMP", "JPEG", "WEBP" or "TIFF", as found in the content.
    """

    pixels: np.ndarray
    grey: bool
    notes: tuple[str, ...]
    sha256: str
    format: str

    @property
    def pixel_sha256(self) -> str:
        """Hash the decoded pixels (see pixel_hash)."""
        return pixel_hash(self.pixels)


def max_pixels_setting() -> int:
    """Read the pixel limit from RESCALE_BENCH_MAX_PIXELS (default 100 megapixels). Raises UsageError."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or len(text) > 18 or int(text) == 0:
        raise UsageError(f"{LIMIT_VARIABLE}='{text}' is not a number of pixels above 0")
    return int(text)


def read_image(path: str | Path, max_pixels: int | None = None) -> Loaded:
    """Decode an image file to uint8 RGB (H, W, 3), decided by its content and turned upright by EXIF.

    max_pixels: the limit that is checked in the header, before decoding (default: max_pixels_setting()).
    Alpha is dropped (not composited) with a note. Raises ImageError, one line that names the file, for
    anything that is not one whole 8-bit grey, palette or RGB picture.
    """
    path = Path(path)
    limit = max_pixels_setting() if max_pixels is None else max_pixels
    with _named(path):
        data = _read_bytes(path, limit)
        pixels, grey, notes, kind = _decode(data, limit)
    return Loaded(pixels, grey, notes, hashlib.sha256(data).hexdigest(), kind)


def image_size(path: str | Path) -> tuple[int, int]:
    """Read the height and width that a file's head declares, before any rotation; raises ImageError naming the file."""
    path = Path(path)
    with _named(path), path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _open(file) as image:
            return image.height, image.width


def pixel_hash(pixels: np.ndarray) -> str:
    """Compute the SHA-256 of decoded pixels, uint8 (H, W, 3).

    Hashed are the sizes as ASCII text ("512x768x3"), a line feed, and the bytes row by row.
    """
    header = "x".join(map(str, pixels.shape)) + "\n"
    digest = hashlib.sha256(header.encode())
    digest.update(np.ascontiguousarray(pixels, np.uint8).data)
    return digest.hexdigest()


def crop_multiple(pixels: np.ndarray, n: int) -> np.ndarray:
    """Cut (H, W, …) at the bottom and right to multiples of n.

    Raises UsageError for n below 1 and ImageError where nothing would be left.
    """
    if n < 1:
        raise UsageError(f"cannot crop to multiples of {n}")
    height, width = pixels.shape[:2]
    if height < n or width < n:
        raise ImageError(f"an image of {width}×{height} pixels is smaller than its crop to multiples of {n}")
    return pixels[: height - height % n, : width - width % n]


def encode_png(pixels: np.ndarray, level: int = 6) -> bytes:
    """Encode uint8 (H, W, 3), (H, W, 1) or (H, W) as a PNG file. Raises ImageError for other arrays."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ImageError(f"cannot write {pixels.dtype} pixels of shape {pixels.shape} as PNG")
    if pixels.ndim == 3 and pixels.shape[2] not in (1, 3):
        raise ImageError(f"cannot write {pixels.shape[2]} channels as PNG")
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(flat)).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def write_png(path: str | Path, pixels: np.ndarray) -> None:
    """Write pixels (see encode_png) to a file that is either complete or absent. Raises ImageError."""
    path, data = Path(path), encode_png(pixels)
    try:
        write_atomically(path, data, durable=False)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({reason(error)})") from None


# --- reading, step by step ------------------------------------------------------


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name before every error, and turn what decoders throw at damaged files into ImageError."""
    try:
        yield
    except ImageError as error:
        reason = str(error)
    except (MemoryError, Image.DecompressionBombError):
        reason = "too large to decode"
    except Exception as error:  # damaged files make Pillow raise nearly anything: OSError, SyntaxError, struct.error, …
        reason = f"truncated or damaged ({error or type(error).__name__})"
    else:
        return
    line = " ".join(f"{path}: {reason}".split())
    # Names that are no UTF-8, and those with control characters, reach the store and the terminal.
    raise ImageError(printable(line.encode("utf-8", "backslashreplace").decode()))


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise ImageError("is a folder, not an image")
        if not stat.S_ISREG(about.st_mode):
            raise ImageError("is not a regular file")
        # No 8-bit file needs this much for the pixels allowed; so it is not worth reading.
        if about.st_size > 8 * limit + 2**24:
            raise ImageError(f"{about.st_size} bytes are too many for {limit} pixels (raise {LIMIT_VARIABLE})")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except PermissionError:
        raise ImageError("permission denied") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read ({error})") from None
    if not data:
        raise ImageError("is empty")
    return data


def _decode(data: bytes, limit: int) -> tuple[np.ndarray, bool, tuple[str, ...], str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what matters is checked here or raises
        _refuse_deep(data)
        with _open(io.BytesIO(data)) as image:
            kind = "JPEG" if image.format == "MPO" else str(image.format)
            _refuse_unusable(image, limit)
            if kind == "PNG":
                _check_png_chunks(data)
            notes = ["first picture of an MPO file"] if image.format == "MPO" else []
            return *_pixels(image, notes), tuple(notes), kind


def _open(file: BinaryIO) -> Image.Image:
    """Open without Pillow's own pixel limit, which is a global below what our option may ask for."""
    with _PILLOW_LIMIT:
        kept = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            return Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            file.seek(0)
            head = file.read(12)
            known = head.startswith((PNG_MAGIC, *TIFF_MAGICS, b"BM", b"\xff\xd8\xff")) or head[8:12] == b"WEBP"
            if known:
                raise ImageError("truncated, damaged or of an unsupported kind (its header cannot be read)") from None
            raise ImageError("is not a PNG, BMP, JPEG, WebP or TIFF image") from None
        finally:
            Image.MAX_IMAGE_PIXELS = kept


def _refuse_deep(data: bytes) -> None:
    """Refuse more than 8 bits per sample from the header, since Pillow may cut them to 8 silently."""
    if data.startswith(PNG_MAGIC) and data[24:25] == b"\x10":
        raise ImageError("16-bit PNG; only 8-bit images can be measured")
    if data.startswith(TIFF_MAGICS):
        _refuse_deep_tiff(data)


def _refuse_deep_tiff(data: bytes) -> None:
    if data.startswith(b"MM\0+"):
        raise ImageError("big-endian BigTIFF, which Pillow cannot read; save it as PNG")
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if data.startswith(b"II+") else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    bits = max(tags.get(BITS_PER_SAMPLE, (1,)))
    if bits > 8:
        raise ImageError(f"{bits}-bit TIFF; only 8-bit images can be measured")
    if set(tags.get(SAMPLE_FORMAT, (1,))) != {1}:
        raise ImageError("TIFF of signed or floating-point samples; only 8-bit unsigned images can be measured")


def _refuse_unusable(image: Image.Image, limit: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{width}×{height} pixels")
    if width * height > limit:
        raise ImageError(f"{width}×{height} is over the limit of {limit} pixels (raise {LIMIT_VARIABLE})")
    if image.mode not in PLAIN_MODES | ALPHA_MODES:
        raise ImageError(f"colour mode {image.mode} is not supported; only 8-bit grey, palette and RGB are")
    frames = getattr(image, "n_frames", 1)
    if frames != 1 and image.format != "MPO":  # every JPEG reader takes the first of an MPO
        raise ImageError(f"holds {frames} frames; only single pictures can be measured")


def _check_png_chunks(data: bytes) -> None:
    """Check every chunk's CRC (PNG specification, section 5.3), which Pillow skips for the pixel data."""
    position = len(PNG_MAGIC)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            break
        kind = data[position + 4 : position + 8]
        crc = int.from_bytes(data[end - 4 : end], "big")
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != crc:
            raise ImageError(f"truncated or damaged (checksum of chunk {kind!r})")
        if kind == b"IEND":
            return
        position = end
    raise ImageError("truncated or damaged (no end chunk)")


def _pixels(image: Image.Image, notes: list[str]) -> tuple[np.ndarray, bool]:
    turned = _orientation(image) not in (None, 0, 1)
    image.load()  # turns TIFF upright by itself
    alpha = image.mode in ALPHA_MODES or "transparency" in image.info
    image.info.pop("transparency", None)  # otherwise Pillow complains when a palette loses it
    upright = ImageOps.exif_transpose(image) if turned else image
    pixels = np.array(_rgb(upright), np.uint8)
    notes += ["alpha dropped"] * alpha + ["EXIF orientation applied"] * turned
    grey = image.mode in ("1", "L", "LA", "La")
    if image.mode in ("P", "PA"):
        grey = bool((pixels == pixels[:, :, :1]).all())
    return pixels, grey


def _orientation(image: Image.Image) -> int | None:
    """Read the EXIF orientation (1 to 8), None where there is none or the tag block is damaged."""
    with suppress(Exception):  # a damaged tag block must not cost a sound picture
        value = image.getexif().get(ORIENTATION)
        return value if isinstance(value, int) and 1 <= value <= 8 else None
    return None


def _rgb(image: Image.Image) -> Image.Image:
    """Drop alpha without compositing: the colour channels as stored, grey repeated."""
    if image.mode == "La":
        return image.convert("LA").convert("RGB")
    if image.mode == "RGBa":
        return image.convert("RGBA").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")

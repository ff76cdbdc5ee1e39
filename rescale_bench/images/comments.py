"""A text of our own inside a PNG or JPEG file: nothing else of the file changes, and its pixels stay as they are."""

from __future__ import annotations

import io
import warnings
import zlib

from PIL import Image

from rescale_bench.images.files import PNG_MAGIC

KEYWORD = "rescale-bench"
"""Of the PNG chunk (PNG specification, section 11.3.3.2), and the first word of the JPEG comment."""

HEADER_END = len(PNG_MAGIC) + 25
"""Where the chunk IHDR ends, which must be the first one: length, name, 13 bytes, checksum."""

JFIF = b"\xff\xd8\xff\xe0"
"""The start of a JFIF file: SOI and the segment APP0, which must follow at once."""


def with_comment(file: bytes, text: str) -> bytes | None:
    """Put a text (ASCII, below 65,000 bytes) into the bytes of a file; None where the format has no place for it."""
    if file.startswith(PNG_MAGIC):
        chunk = b"tEXt" + f"{KEYWORD}\0{text}".encode("ascii")
        packed = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        return file[:HEADER_END] + packed + file[HEADER_END:]
    if file.startswith(JFIF):
        end = 4 + int.from_bytes(file[4:6], "big")
        content = f"{KEYWORD} {text}".encode("ascii")
        return file[:end] + b"\xff\xfe" + (len(content) + 2).to_bytes(2, "big") + content + file[end:]
    return None


def comment_of(file: bytes) -> str | None:
    """Read the text that with_comment put into a file; None where there is none, or where the file is damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(file), formats=("PNG", "JPEG")) as image:
                text, comment = image.info.get(KEYWORD), image.info.get("comment", b"")
    except Exception:  # as in files: damaged files make Pillow raise nearly anything
        return None
    if isinstance(text, str):
        return text
    first, _, rest = comment.partition(b" ") if isinstance(comment, bytes) else (b"", b"", b"")
    return rest.decode("utf-8", "replace") if first == KEYWORD.encode() else None

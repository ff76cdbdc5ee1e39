"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, content: bytes | str | Callable[[Path], object], durable: bool = True) -> None:
    """Put a file in its place in one go: a kill, a full disk or a second writer leaves the old one or the new one.

    content: bytes, a text (UTF-8), or what writes the file that it is given.
    durable: wait until the disk has it, so that a crash of the machine does not leave an empty file. Raises OSError.
    """
    # A name of its own: processes of several machines may share the folder.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        if durable:
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """Say in words why a file could not be read or written: "no space left on device"."""
    return (error.strerror or str(error)).lower()

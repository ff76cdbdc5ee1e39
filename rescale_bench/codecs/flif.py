"""FLIF, lossless, through the authors' program `flif`, which pip cannot install.

J. Sneyers, P. Wuille, "FLIF: Free Lossless Image Format based on MANIAC Compression", ICIP 2016.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Option, Value
from rescale_bench.codecs import pillow_formats
from rescale_bench.errors import CodecError

if TYPE_CHECKING:
    import numpy as np

PROGRAM, SOURCE = "flif", "https://github.com/FLIF-hub/FLIF"


def problems() -> list[str]:
    """Say how to get the program where it is missing."""
    if shutil.which(PROGRAM):
        return []
    return [f"codec flif: there is no program {PROGRAM} on the PATH; build it from {SOURCE}"]


def encode(pixels: np.ndarray, options: Mapping[str, Value]) -> bytes:
    """Write uint8 (H, W, 1 or 3) as FLIF. Raises CodecError when the program fails."""
    png = pillow_formats.encode_png(pixels, {"optimize": False})
    return _convert(png, "image.png", "image.flif", "-e", f"-E{options['effort']}")


def decode(file: bytes) -> np.ndarray:
    """Read FLIF back as uint8 (H, W, 1 or 3). Raises CodecError when the program fails."""
    return pillow_formats.decode(_convert(file, "image.flif", "image.png", "-d"))


def _convert(content: bytes, source: str, target: str, *flags: str) -> bytes:
    """Let the program turn one file into another, in a folder of its own."""
    program = shutil.which(PROGRAM)
    if program is None:
        raise CodecError(problems()[0])
    with TemporaryDirectory() as folder:
        Path(folder, source).write_bytes(content)
        done = subprocess.run(
            [program, *flags, source, target], cwd=folder, check=False, capture_output=True, stdin=subprocess.DEVNULL
        )
        made = Path(folder, target)
        if done.returncode or not made.is_file():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise CodecError(f"{PROGRAM} ended with {done.returncode}{f': {said[-1]}' if said else ''}")
        return made.read_bytes()


FLIF = Codec(
    name="flif",
    summary="FLIF lossless, where a program flif is on the PATH",
    lossless=True,
    extension=".flif",
    encode=encode,
    decode=decode,
    options=(Option("effort", 60, "the program's effort; its own default is 60", low=0, high=100),),
    requires=problems,
)

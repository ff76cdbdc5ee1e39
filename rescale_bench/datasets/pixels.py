"""Pinned pixels: the SHA-256 of every decoded image of the research sets that we have measured.

`pixels.csv` holds rescale_bench.images.files.pixel_hash of our copies (Set14 cropped to even sizes, BSD100 uncropped
481×321). Decoded pixels are the same however a mirror packed or named the file; archives' checksums are not.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from rescale_bench.errors import ImageError


def pinned(dataset: str) -> dict[str, str]:
    """Read the pinned hashes of a data set: image name → hash; empty where we have none."""
    text = resources.files("rescale_bench.datasets").joinpath("pixels.csv").read_text("ascii")
    return {row["image"]: row["sha256"] for row in csv.DictReader(text.splitlines()) if row["dataset"] == dataset}


def hash_of(path: Path) -> str:
    """Compute the pixel hash of an image file. Raises ImageError."""
    from rescale_bench.images.files import read_image

    return read_image(path).pixel_sha256


def count_known(dataset: str, paths: Iterable[Path]) -> int:
    """Count the files whose pixels are pinned for this data set, whatever their names."""
    known, count = set(pinned(dataset).values()), 0
    for path in paths:
        try:
            count += hash_of(path) in known
        except ImageError:
            continue
    return count

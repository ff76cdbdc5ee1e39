"""The order in which cells run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

from rescale_bench.runner.cells import Cell
from rescale_bench.runner.worker import build_key


def in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Group cells by what they need built, and within a group by image, the largest file first.

    A worker then builds each method once, decodes each image once a group, and no large image comes last,
    when the other workers have nothing left to do.
    """
    size = lru_cache(maxsize=None)(_bytes)
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(build_key(cell), []).append(cell)
    # Sorting is stable: the scales and formats of an image keep their order.
    return [cell for group in groups.values() for cell in sorted(group, key=lambda c: (-size(c.path), c.path))]


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0

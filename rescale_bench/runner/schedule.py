"""The order in which cells run."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache

from rescale_bench.errors import ImageError
from rescale_bench.runner.cells import Cell
from rescale_bench.runner.worker import build_key


def in_order(cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
    """Group cells by what they need built, and within a group by image, the largest file first.

    A worker then builds each method once, decodes each image once a group, and no large image comes last,
    when the other workers have nothing left to do.
    Where a method takes several images at once, cells that differ in nothing but images of one size come together.
    """
    size = lru_cache(maxsize=None)(_bytes)
    groups: dict[object, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(build_key(cell), []).append(cell)
    # Sorting is stable: the scales and formats of an image keep their order.
    ordered = [sorted(group, key=lambda c: (-size(c.path), c.path)) for group in groups.values()]
    return [each for group in ordered for each in _together(group)]


def _together(cells: Sequence[Cell]) -> Iterator[tuple[Cell, ...]]:
    batch = cells[0].batch
    if batch == 1:
        yield from ((cell,) for cell in cells)
        return
    sides = lru_cache(maxsize=None)(_sides)
    place = {cell.cell: index for index, cell in enumerate(cells)}
    alike: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        key = (sides(cell.path), cell.crop, cell.scale, cell.codec)
        alike.setdefault(key, []).append(cell)
    found = [each for group in alike.values() for each in _chunks(group, batch)]
    # All scales of the same few images follow each other, while these are in memory.
    yield from sorted(found, key=lambda each: place[each[0].cell])


def _chunks(cells: Sequence[Cell], count: int) -> Iterator[tuple[Cell, ...]]:
    for start in range(0, len(cells), count):
        yield tuple(cells[start : start + count])


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _sides(path: str) -> tuple[int, int] | None:
    """Read an image's size from its head; None where that fails: its cell says why."""
    from rescale_bench.images.files import image_size

    try:
        return image_size(path)
    except ImageError:
        return None

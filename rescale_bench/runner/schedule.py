"""Which cells run at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter

from rescale_bench.errors import ImageError
from rescale_bench.images.files import image_size
from rescale_bench.runner.cells import Batch, Cell


def batches(cells: Iterable[Cell]) -> Iterator[Batch]:
    """Group cells that may go through a network at once; those of one build must follow each other.

    Where a method takes several images, these are cells that differ in nothing but images of one size.
    """
    for _, group in groupby(cells, attrgetter("build")):
        rest = iter(group)
        first = next(rest)
        if first.batch == 1:  # one at a time: a run of a million cells is never held as a whole
            yield from ((cell,) for cell in chain((first,), rest))
        else:
            yield from _together([first, *rest])


def _together(cells: Sequence[Cell]) -> list[Batch]:
    sizes = {path: _size(path) for path in {cell.path for cell in cells}}
    place = {cell.cell: index for index, cell in enumerate(cells)}
    groups: dict[Hashable, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((sizes[cell.path], cell.crop, cell.scale, cell.codec, cell.damage), []).append(cell)
    count = cells[0].batch
    found = [tuple(group[at : at + count]) for group in groups.values() for at in range(0, len(group), count)]
    # All scales of the same few images follow each other, while these are in memory.
    return sorted(found, key=lambda batch: place[batch[0].cell])


def _size(path: str) -> tuple[int, int] | None:
    """Read an image's size from its head; None where that fails: its cell says why."""
    try:
        return image_size(path)
    except ImageError:
        return None

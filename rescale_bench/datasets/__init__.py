"""Data sets: the embedded photographs, research sets by name, and folders.

Import cost matters here (`list` reads these records), so images are opened only inside functions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Dataset
from rescale_bench.datasets.catalogue import RESEARCH
from rescale_bench.datasets.listing import folder_dataset
from rescale_bench.datasets.photos import PHOTOS
from rescale_bench.datasets.preparation import prepare
from rescale_bench.datasets.research import Research, locate
from rescale_bench.datasets.selection import find_dataset, modcrop_variant, split_variant, without_variant

__all__ = [
    "find_dataset",
    "folder_dataset",
    "modcrop_variant",
    "rescale_bench_datasets",
    "split_variant",
    "without_variant",
]


@hookimpl
def rescale_bench_datasets() -> Iterable[Dataset]:
    """Yield the embedded photographs and the research sets."""
    yield PHOTOS
    yield from map(_record, RESEARCH)


def _record(research: Research) -> Dataset:
    return Dataset(
        name=research.name,
        summary=research.summary,
        citation=research.citation,
        licence=research.licence,
        count=research.count,
        shareable=lambda image: research.shareable,
        images=partial(locate, research),
        prepare=partial(prepare, research),
    )

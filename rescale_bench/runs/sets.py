"""Values of whole data sets (FID, KID) among the rows of a run: a row without an image, keyed by its cells.

Such a value belongs to the cells that it was measured on: their digest stands in its column `cell`. It counts only in a
table that holds exactly these cells of its method, data set and scale, so that a run which has since grown, or was
measured anew, never shows a value of other images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescale_bench.runs.schema import KEY

if TYPE_CHECKING:
    import pandas as pd

SHARED = (*(name for name in KEY if name not in ("image", "metric")), "weights_sha256", "protocol_version")
"""What the cells of one set have in common."""
FLAGS = ("native", "ceiling")


@dataclass(frozen=True)
class ImageSet:
    """The restored images of one data set by one method at one scale."""

    shared: Mapping[str, Any]
    """Value by name of the columns that its cells share."""

    cells: tuple[str, ...]
    """Their keys, in the order of the images' names."""

    @property
    def digest(self) -> str:
        """Name the set by its cells, whatever their order."""
        return digest(self.cells)


def digest(cells: Iterable[str]) -> str:
    """Name a set of cells, whatever their order."""
    return hashlib.sha256("\n".join(sorted(cells)).encode()).hexdigest()[:24]


def image_sets(table: pd.DataFrame) -> list[ImageSet]:
    """Split the cells of a table that did not fail into sets; of a cell measured twice the later counts.

    table: complete rows (rescale_bench.runs.table.complete).
    """
    of_images = table[(table["image"] != "") & table["status"].isin(("ok", "undefined"))]
    once = of_images.drop_duplicates([*SHARED, "image"], keep="last").sort_values("image", kind="stable")
    found = []
    for _, rows in once.groupby(list(SHARED), sort=False, dropna=False):
        first = rows.iloc[0]
        # Plain values of Python, as a journal line takes them.
        shared = {name: getattr(first[name], "item", lambda value=first[name]: value)() for name in (*SHARED, *FLAGS)}
        found.append(ImageSet(shared, tuple(rows["cell"])))
    return found


def current(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the values of whole data sets that were measured on other cells than the table holds."""
    whole = table["image"] == ""
    if not whole.any():
        return table
    return table[~whole | table["cell"].isin({one.digest for one in image_sets(table)})]

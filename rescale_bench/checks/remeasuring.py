"""Measure some cells of somebody's rows anew, to compare them with what the rows say.

The rows are a stranger's: no program that they name is started and no file that they name is read. Methods, data sets
and codecs are looked up by name among what is installed here.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.api.registry import NAME, Registry
from rescale_bench.api.specs import label, parse_spec, publishable
from rescale_bench.datasets import without_variant
from rescale_bench.errors import RescaleBenchError, UsageError
from rescale_bench.runner.cells import NO_FILE, Cell, Plan
from rescale_bench.runner.execute import measure
from rescale_bench.runner.plan import plan
from rescale_bench.runner.request import Request
from rescale_bench.runs.schema import HASHED
from rescale_bench.runs.table import as_text, complete, plain_texts
from rescale_bench.weights.stored import is_path

if TYPE_CHECKING:
    import pandas as pd

CELL = tuple(column.name for column in HASHED)
COMMAND = ("rescale-bench", "check", "--sample")


@dataclass(frozen=True)
class Sample:
    """The rows of the cells that were measured anew, and why others could not be, each reason once."""

    rows: pd.DataFrame
    reasons: tuple[str, ...]


def remeasure(baseline: pd.DataFrame, count: int, seed: int, folder: Path, registry: Registry) -> Sample:
    """Measure cells of a baseline, chosen at random, into a run folder.

    count: of cells. seed: of the choice. Raises UsageError where the folder holds a run, StoreError.
    """
    import pandas as pd

    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; cells are measured into a new folder", "output")
    rows = plain_texts(complete(baseline))
    rows = rows.assign(**{name: as_text(rows[name]) for name in CELL})
    rows = rows[(rows["image"] != "") & (rows["status"] == "ok")]
    cells = [part for _, part in rows.groupby(list(CELL), sort=True)]
    random.Random(seed).shuffle(cells)
    chosen: list[pd.DataFrame] = []
    reasons: dict[str, str] = {}
    for cell in cells:
        method = str(cell["method"].iloc[0])
        if len(chosen) == count or method in reasons:
            continue
        try:
            measure(_planned(cell, folder, registry), registry, COMMAND)
            chosen.append(cell)
        except RescaleBenchError as error:
            reasons[method] = f"{method}: {error}"
    return Sample(pd.concat(chosen) if chosen else rows.iloc[:0], tuple(reasons.values()))


def _planned(rows: pd.DataFrame, folder: Path, registry: Registry) -> Plan:
    """Plan the one cell of some rows. Raises RescaleBenchError where this installation cannot measure it."""
    row = cast(Any, next(rows.itertuples(index=False)))
    _check(row, registry)
    metrics = [name for name in rows["metric"] if name.partition(":")[0] in registry.metrics]
    for text in _specs(row):
        request = Request(
            methods=text, datasets=row.dataset, scales=row.scale, protocol=row.protocol, metrics=",".join(metrics),
            codecs="" if row.codec == NO_FILE else row.codec, output=folder, seed=int(row.seed),
            tile=row.tile or "off", dtype=row.dtype, batch=int(row.batch), compile=row.compiled == "True",
        )  # fmt: skip
        grid = plan(request, registry)
        pictures = tuple(one for one in grid.pictures if one.name == row.image and one.sha256 == row.image_sha256)
        made = list(dataclasses.replace(grid, pictures=pictures, set_metrics=()))
        if any(_same(cell, row) for cell in made):
            return dataclasses.replace(grid, pictures=pictures, set_metrics=())
        if not pictures:
            raise UsageError(f"the image {row.dataset}/{row.image} is another file here")
    raise UsageError(f"its weights {row.weights or '(none)'} or protocol version are not the ones here")


def _check(row: Any, registry: Registry) -> None:
    base = without_variant(row.dataset)
    if base not in registry.datasets:
        raise UsageError(f"the data set {row.dataset} is not a registered one")
    if row.origin != "run" or row.damage:
        raise UsageError("its images were not made by a plain run")
    parts = row.method.split("+")
    if not all(NAME.fullmatch(part) for part in parts) or is_path(row.weights) or not publishable(row.weights):
        raise UsageError("it names a file, or weights that were not trained")
    method = registry.method(row.method)
    given = {key for key, _ in parse_spec(label(row.method, row.options)).given}
    if method.traits.external or any(option.is_path and option.name in given for option in method.options):
        raise UsageError("it stands for programs or files of the machine that measured it")


def _specs(row: Any) -> Iterator[str]:
    """Give the ways to name a method with its weights: those that are taken by default, then the tag."""
    text = label(row.method, row.options)
    yield text
    if row.weights:
        yield f"{text}{',' if row.options else ':'}weights={row.weights}"


def _same(cell: Cell, row: Any) -> bool:
    return (cell.weights_sha256, str(cell.protocol_version)) == (row.weights_sha256, row.protocol_version)

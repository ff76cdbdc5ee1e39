"""Values of whole data sets in a leaderboard: a table of their own, with the warning that few images deserve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, cast

from rescale_bench.api.metrics import SetMetric
from rescale_bench.api.specs import publishable
from rescale_bench.metrics import own_metrics
from rescale_bench.runs.set_values import SetValue, digest
from rescale_bench.statistics.paired import Direction
from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    Column,
    Record,
    Row,
    Table,
    TableCell,
    marked,
    method_cell,
    number_cell,
    scale_cell,
)
from rescale_bench.tables.scores import GROUP, Group, Setting

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Whole data sets"
STALE = "Some values of whole data sets are missing or of other cells: run `rescale-bench distribution` again."


@dataclass(frozen=True)
class Members:
    """The cells of one set of restored images. images: image → cell. of: images of its group. trained: publishable."""

    group: Group
    label: str
    seed: str
    images: dict[str, str]
    of: int
    trained: bool
    ceiling: bool

    @property
    def digest(self) -> str:
        """Name the cells."""
        return digest(self.images.values())


@dataclass(frozen=True)
class Distance:
    """One metric of one method on one data set; over several seeds the mean of their values.

    value: None where undefined. of: images of the group. ranked: whether it compares with the others.
    """

    group: Group
    label: str
    metric: str
    direction: Direction
    decimals: int
    value: float | None
    images: int
    of: int
    ranked: bool
    trained: bool
    features: str
    error: str = ""


def members(rows: pd.DataFrame) -> list[Members]:
    """Split prepared rows into sets: one for each group, method and seed, of the cells that did not fail."""
    if "cell" not in rows.columns:
        return []
    total = rows.groupby(list(GROUP), sort=False)["image"].nunique().to_dict()
    done = rows[rows["status"].isin(("ok", "undefined"))]
    found = []
    for key, part in done.groupby([*GROUP, "label", "seed"], sort=False):
        *names, label, seed = cast(tuple[str, ...], key)
        first = part.iloc[0]
        images = dict(zip(part["image"].tolist(), part["cell"].astype(str).tolist(), strict=True))
        trained, ceiling = publishable(first["weights"]), str(first["ceiling"]).lower() == "true"
        found.append(
            Members(Group(*map(str, names)), str(label), str(seed), images, int(total[tuple(names)]), trained, ceiling)
        )
    return found


def distances(rows: pd.DataFrame, values: Sequence[SetValue]) -> tuple[Distance, ...]:
    """Find the values of a run's sets; those of other cells, or of only some seeds, are left out."""
    if not values:
        return ()
    known = {value.key: value for value in values}
    sets: dict[tuple[Group, str], list[Members]] = {}
    for one in members(rows):
        sets.setdefault((one.group, one.label), []).append(one)
    found = []
    for seeds in sets.values():
        for metric in dict.fromkeys(value.metric for value in values):
            mine = [known[one.digest, metric] for one in seeds if (one.digest, metric) in known]
            if len(mine) == len(seeds):
                found.append(_distance(seeds, mine))
    return tuple(sorted(found, key=lambda one: (one.group.order, one.label, one.metric)))


def stale_settings(rows: pd.DataFrame, values: Sequence[SetValue]) -> frozenset[Setting]:
    """Find the protocols, data sets and codecs with a set that has no value while others were measured."""
    if not values:
        return frozenset()
    known = {value.cells for value in values}
    return frozenset(one.group.setting for one in members(rows) if one.digest not in known)


def _distance(seeds: Sequence[Members], values: Sequence[SetValue]) -> Distance:
    one, first = seeds[0], values[0]
    numbers = [value.value for value in values if value.value is not None]
    images = min(len(each.images) for each in seeds)
    error = next((value.error for value in values if value.value is None), "")
    return Distance(
        one.group, one.label, first.metric, cast(Direction, first.direction), first.decimals,
        fmean(numbers) if len(numbers) == len(values) else None, images, one.of,
        images == one.of and one.trained and not one.ceiling, one.trained, first.features, error,
    )  # fmt: skip


def distance_table(found: Sequence[Distance]) -> Table:
    """Lay the values of one protocol, data set and codec out, scale by scale, best first."""
    first = {one.metric: one for one in found}
    at = {(one.group.scale, one.label, one.metric): one for one in found}
    heads = (Column(name, metric=name, direction=one.direction, decimals=one.decimals) for name, one in first.items())
    rows: list[Row] = []
    for scale in sorted({one.group.scale for one in found}, key=Decimal):
        labels = {one.label: one for one in found if one.group.scale == scale}
        order = sorted(labels, key=lambda name: _place(at.get((scale, name, next(iter(first)))), name))
        for place, label in enumerate(order):
            some = labels[label]
            count = str(some.images) if some.images == some.of else f"{some.images}/{some.of}"
            cells = (_cell(at.get((scale, label, metric))) for metric in first)
            lead = (scale_cell(scale), method_cell(label), TableCell(count, some.images))
            rows.append(Row((*lead, *cells), label, scale, some.trained, ruled=bool(rows) and place == 0))
    columns = (Column("scale"), Column("method", "text"), Column("images"), *heads)
    return marked(Table(TITLE, columns, tuple(rows)))


def _cell(one: Distance | None) -> TableCell:
    if one is None or one.value is None:
        return TableCell(MISSING)
    return number_cell(one.value, one.decimals, one.ranked, INCOMPLETE if one.images < one.of else "")


def _place(one: Distance | None, name: str) -> tuple[bool, float, str]:
    return one is None or not one.ranked or one.value is None, (one.value or 0.0) if one else 0.0, name


def set_record(one: Distance, reference: str) -> Record:
    """Flatten a value of a whole data set; what only means over images have is empty."""
    return {
        "protocol": one.group.protocol,
        "protocol_version": one.group.protocol_version,
        "dataset": one.group.dataset,
        "scale": one.group.scale,
        "codec": one.group.codec,
        "method": one.label,
        "native": None,
        "publishable": one.trained,
        "metric": one.metric,
        "direction": one.direction,
        "unit": "",
        "mean": one.value,
        "pooled": None,
        "images": one.of,
        "finite": one.images if one.value is not None else 0,
        "infinite": 0,
        "undefined": 0 if one.value is not None else one.images,
        "failed": None,
        "missing": one.of - one.images,
        "ranked": one.ranked,
        "reference": reference,
        "difference": None,
        "low": None,
        "high": None,
        "pairs": None,
        "wins": None,
    }


def distance_notes(found: Sequence[Distance]) -> tuple[str, ...]:
    """Say what the values are worth, how they were computed, and why some are missing."""
    return tuple(dict.fromkeys(_notes(found)))


def _notes(found: Sequence[Distance]) -> Iterator[str]:
    for metric in dict.fromkeys(one.metric for one in found):
        counts = sorted({one.images for one in found if one.metric == metric and one.value is not None})
        if counts:
            record = next((one for one in own_metrics() if one.name == metric), None)
            if isinstance(record, SetMetric):
                yield record.validity(counts[0])
    features = dict.fromkeys(one.features for one in found if one.value is not None)
    names = " and ".join(dict.fromkeys(one.metric for one in found))
    for text in features:
        yield f"{names}: of {text}, stored 8-bit pictures against the HR images of the same cells."
    if any(one.images < one.of and one.value is not None for one in found):
        yield f"{INCOMPLETE} over fewer images than the others, which cannot be compared with theirs."
    for one in found:
        if one.error:
            yield f"{one.metric} of {one.label} at ×{one.group.scale}: undefined ({one.error})."

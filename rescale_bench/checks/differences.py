"""Two runs side by side: their cells paired, and how far the second is from the first, image by image."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.checks.regression import IDENTITY, plain_rows, repeatable, scored
from rescale_bench.errors import UnknownNameError
from rescale_bench.runs import schema
from rescale_bench.runs.schema import LABEL, row_label
from rescale_bench.statistics.paired import Direction, PairedDifference, summarise

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
Pair = tuple[Row, Row]
CODE = "cell"
"""The key of a cell; where it alone differs, the method or the codec had another version."""
CONTENT = tuple(name for name in schema.CONTENT if name != CODE)
"""Where both runs state one of these and differ, the pair does not compare like with like."""


@dataclass(frozen=True)
class PairPlace:
    """What the images of one difference have in common. method: its label with options, weights, and how it ran."""

    protocol: str
    dataset: str
    codec: str
    scale: str
    metric: str
    method: str

    @property
    def order(self) -> tuple[str, str, str, Decimal, str, str]:
        """Sort by protocol, codec, data set, scale, metric, method."""
        return self.protocol, self.codec, self.dataset, Decimal(self.scale), self.metric, self.method


@dataclass(frozen=True)
class RunDifference:
    """B − A for one method, data set, scale and metric, in the metric's unit.

    differs: names out of CONTENT and CODE in which all these pairs differ, each with "a → b" ("" where the images
    do not agree on it); empty where like is compared with like. images: paired ones. mean: over the images finite
    in both, mean over seeds first; None without any. infinite: images that are infinite in either.
    values, equal: pairs with a number in either run, those of them that agree bit for bit.
    largest: single difference, infinite where one side is, 0 where all agree, None without any; with its image.
    lost, gained: images whose value only A, only B has. repeatable: False for clocks and memory.
    """

    place: PairPlace
    differs: tuple[tuple[str, str], ...]
    images: int
    mean: PairedDifference | None
    infinite: int
    values: int
    equal: int
    largest: float | None
    largest_image: str
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    unit: str
    decimals: int
    repeatable: bool


@dataclass(frozen=True)
class OneSided:
    """Cells of one method, data set and scale that only one run holds.

    side: "A" or "B". images: whose cells are missing on the other side. metrics: those that are missing where the
    cells themselves are in both runs, else empty. values: repeatable numbers among them.
    """

    side: str
    place: PairPlace
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    values: int


@dataclass(frozen=True)
class RunComparison:
    """What two runs share and what they do not, in a fixed order."""

    differences: tuple[RunDifference, ...]
    one_sided: tuple[OneSided, ...]

    @property
    def compared(self) -> int:
        """Count the repeatable numbers that have a twin."""
        return sum(one.values for one in self.differences if one.repeatable)

    @property
    def changed(self) -> int:
        """Count the repeatable numbers whose twin differs in any bit, or has no value."""
        return sum(one.values - one.equal for one in self.differences if one.repeatable)

    @property
    def alone(self) -> int:
        """Count the repeatable numbers that have no twin."""
        return sum(one.values for one in self.one_sided)

    @property
    def exit_status(self) -> int:
        """Say what `--fail-if-different` returns: 0 the same numbers, 1 not, 4 nothing comparable."""
        if not self.compared:
            return 4
        return 1 if self.changed or self.alone else 0


def compare_runs(a: pd.DataFrame, b: pd.DataFrame, metrics: Sequence[str] | None = None) -> RunComparison:
    """Pair the rows of two tidy tables and describe B − A per method, data set, scale and metric.

    metrics: only these (`piqe_lr` also finds `piqe_lr:channels=bgr`). A run that holds one cell with several
    contents (a merged one) is paired by equal content first. Raises UnknownNameError for a metric neither run holds.
    """
    mine, theirs = list(plain_rows(a)), list(plain_rows(b))
    if metrics is not None:
        _check_names(metrics, {row["metric"] for row in (*mine, *theirs)})
        mine, theirs = ([row for row in rows if _wanted(row["metric"], metrics)] for rows in (mine, theirs))
    pairs, only_a, only_b = _paired(mine, theirs)
    groups: dict[tuple[PairPlace, tuple[str, ...]], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((_place(pair[0]), _differing(pair)), []).append(pair)
    found = [_difference(place, names, members) for (place, names), members in groups.items()]
    alone = [*_one_sided("A", only_a, theirs), *_one_sided("B", only_b, mine)]
    return RunComparison(
        tuple(sorted(found, key=lambda one: (one.place.order, one.differs))),
        tuple(sorted(alone, key=lambda one: (one.side, bool(one.metrics), one.place.order))),
    )


def _check_names(wanted: Iterable[str], known: set[str]) -> None:
    for name in wanted:
        if not any(_wanted(metric, [name]) for metric in known):
            raise UnknownNameError("metric of these runs", name, known)


def _wanted(metric: str, wanted: Sequence[str]) -> bool:
    return metric in wanted or metric.partition(":")[0] in wanted


def _paired(mine: Sequence[Row], theirs: Sequence[Row]) -> tuple[list[Pair], list[Row], list[Row]]:
    """Pair rows of equal identity and content, then what is left by identity; of each the later row counts.

    Returns the pairs, and the rows of either side that found no twin.
    """
    full = (*IDENTITY, *CONTENT, CODE)
    left, right = _keyed(mine, full), _keyed(theirs, full)
    pairs = _twins(left, right)
    rest = [[row for key, row in found.items() if not (key in left and key in right)] for found in (left, right)]
    pairs += _twins(_keyed(rest[0], IDENTITY), _keyed(rest[1], IDENTITY))
    used = {id(row) for pair in pairs for row in pair}
    only_a, only_b = ([row for row in rows if id(row) not in used] for rows in rest)
    return pairs, only_a, only_b


def _keyed(rows: Iterable[Row], names: Sequence[str]) -> dict[tuple[str, ...], Row]:
    return {tuple(row[name] for name in names): row for row in rows}


def _twins(left: Mapping[tuple[str, ...], Row], right: Mapping[tuple[str, ...], Row]) -> list[Pair]:
    return [(row, right[key]) for key, row in left.items() if key in right]


def _place(row: Row) -> PairPlace:
    label = row_label([row[name] for name in LABEL])
    return PairPlace(row["protocol"], row["dataset"], row["codec"], row["scale"], row["metric"], label)


def _image(row: Row) -> str:
    return cast(str, row["image"]) if row["seed"] in ("", "0") else f"{row['image']} (seed {row['seed']})"


def _differing(pair: Pair) -> tuple[str, ...]:
    a, b = pair
    names = tuple(name for name in CONTENT if a[name] and b[name] and a[name] != b[name])
    if set(names) <= {"metric_version"} and a[CODE] and b[CODE] and a[CODE] != b[CODE]:
        return (*names, CODE)
    return names


def _difference(place: PairPlace, names: Sequence[str], pairs: Sequence[Pair]) -> RunDifference:
    first = pairs[0][0]
    direction = cast(Direction, first["direction"] or "none")
    by_image: dict[str, list[float]] = {}
    largest, where = None, ""
    for a, b in pairs:
        if not (scored(a) and scored(b)):
            continue
        before, after = float(a["value"]), float(b["value"])
        # Two infinities of one sign agree, though their difference has no value.
        step = 0.0 if before == after else after - before
        finite_both = math.isfinite(before) and math.isfinite(after)
        by_image.setdefault(a["image"], []).append(step if finite_both else math.inf)
        if largest is None or abs(step) > abs(largest):
            largest, where = step, _image(a)
    finite = {image: fmean(steps) for image, steps in by_image.items() if all(map(math.isfinite, steps))}
    numbers = [(a, b) for a, b in pairs if scored(a) or scored(b)]
    return RunDifference(
        place=place,
        differs=tuple((name, _sides(name, pairs)) for name in names),
        images=len({a["image"] for a, _ in pairs}),
        mean=summarise([finite[image] for image in sorted(finite)], direction) if finite else None,
        infinite=len(by_image) - len(finite),
        values=len(numbers),
        equal=sum(1 for a, b in numbers if scored(a) and scored(b) and _bits(a) == _bits(b)),
        largest=largest,
        largest_image=where if largest else "",
        lost=tuple(_image(a) for a, b in numbers if not scored(b)),
        gained=tuple(_image(b) for a, b in numbers if not scored(a)),
        unit=first["unit"],
        decimals=int(first["decimals"] or 3),
        repeatable=all(repeatable(row) for pair in pairs for row in pair),
    )


def _bits(row: Row) -> bytes:
    return struct.pack("<d", row["value"])


def _sides(name: str, pairs: Sequence[Pair]) -> str:
    found = {(a[name], b[name]) for a, b in pairs}
    if len(found) > 1 or name == CODE:
        return ""
    a, b = found.pop()
    return f"{a[:8]} → {b[:8]}" if name.endswith("sha256") else f"{a} → {b}"


def _one_sided(side: str, rows: Sequence[Row], others: Sequence[Row]) -> list[OneSided]:
    """Gather rows without a twin: cells that the other run lacks, and metrics that its cells lack."""
    cell = tuple(name for name in IDENTITY if name != "metric")
    there = {tuple(row[name] for name in cell) for row in others}
    whole: dict[PairPlace, list[Row]] = {}
    parts: dict[PairPlace, list[Row]] = {}
    for row in rows:
        missing = tuple(row[name] for name in cell) not in there
        place = _place({**row, "metric": ""})
        (whole if missing else parts).setdefault(place, []).append(row)
    return [
        OneSided(
            side, place, tuple(sorted({_image(row) for row in members})),
            tuple(sorted({row["metric"] for row in members})) if found is parts else (),
            sum(1 for row in members if scored(row) and repeatable(row)),
        )
        for found in (whole, parts) for place, members in found.items()
    ]  # fmt: skip

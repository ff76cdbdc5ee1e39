"""Two runs side by side: their cells paired, and how far the second is from the first, image by image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rescale_bench.checks.regression import IDENTITY, READ, good, joined_rows, repeatable
from rescale_bench.errors import UnknownNameError
from rescale_bench.runs import schema
from rescale_bench.runs.schema import LABEL, row_label
from rescale_bench.statistics.paired import Direction, PairedDifference, summarise
from rescale_bench.tables.rows import distinct

if TYPE_CHECKING:
    import pandas as pd

CODE = "cell"
"""The key of a cell; where it alone differs, the method or the codec had another version."""
CONTENT = tuple(name for name in schema.CONTENT if name != CODE)
"""Where both runs state one of these and differ, the pair does not compare like with like."""
PLACE = ("protocol", "dataset", "codec", "scale", "metric", *LABEL)
"""What makes a PairPlace, in the order of its fields; LABEL becomes the method."""


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
    rows, count = joined_rows(a, b)
    there = np.arange(len(rows))
    if metrics is not None:
        held = rows["metric"].cat.categories[np.unique(rows["metric"].cat.codes)]
        _check_names(metrics, set(held))
        there = np.flatnonzero(rows["metric"].isin([name for name in held if _wanted(name, metrics)]))
    twins = _Twins(rows, there[there < count], there[there >= count])
    pairs, only_a, only_b = twins.paired()
    alone = [
        *twins.one_sided("A", only_a, twins.theirs),
        *twins.one_sided("B", only_b, twins.mine),
    ]
    return RunComparison(
        tuple(sorted(twins.differences(*pairs), key=lambda one: (one.place.order, one.differs))),
        tuple(sorted(alone, key=lambda one: (one.side, bool(one.metrics), one.place.order))),
    )


def _check_names(wanted: Iterable[str], known: set[str]) -> None:
    for name in wanted:
        if not any(_wanted(metric, [name]) for metric in known):
            raise UnknownNameError("metric of these runs", name, known)


def _wanted(metric: str, wanted: Sequence[str]) -> bool:
    return metric in wanted or metric.partition(":")[0] in wanted


class _Twins:
    """The rows of two runs below each other, as columns; what names rows gives their places.

    mine, theirs: the rows of either run that are compared, in order.
    """

    def __init__(self, rows: pd.DataFrame, mine: np.ndarray, theirs: np.ndarray) -> None:
        self.rows, self.mine, self.theirs = rows, mine, theirs
        self.texts = {name: rows[name].cat.categories.tolist() for name in READ if name != "value"}
        self.codes = {name: rows[name].cat.codes.to_numpy() for name in self.texts}
        self.values, self.scored = rows["value"].to_numpy(), good(rows)
        self.repeatable = self._each("repeatable", lambda text: repeatable({"repeatable": text}))
        combinations, first = distinct(rows, PLACE)
        table = rows[list(PLACE)].iloc[first].astype(object).itertuples(index=False, name=None)
        named = [PairPlace(*(*row[:5], row_label(row[5:]))) for row in cast(Iterator[Any], table)]
        known: dict[PairPlace, int] = {}
        numbers = np.array([known.setdefault(place, len(known)) for place in named], dtype=np.int64)
        self.place, self.places = numbers[combinations], list(known)

    def text(self, name: str, row: int) -> str:
        """Give what a row holds."""
        text: str = self.texts[name][self.codes[name][row]]
        return text

    def _each(self, name: str, holds: Callable[[str], bool]) -> np.ndarray:
        """Ask something of a column, once for each different text; (n,) of bool."""
        answers: np.ndarray = np.array([holds(text) for text in self.texts[name]], dtype=bool)
        return answers[self.codes[name]]

    def paired(self) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
        """Pair rows of equal identity and content, then what is left by identity; of each the later row counts.

        Returns the pairs' rows of either side, and the rows of either that found no twin.
        """
        full, identity = (distinct(self.rows, names)[0] for names in ((*IDENTITY, *CONTENT, CODE), IDENTITY))
        pairs, left, right = _twins(full, self.mine, self.theirs)
        more, _, _ = _twins(identity, left, right)
        only_a, only_b = (rows[~np.isin(rows, used)] for rows, used in zip((left, right), more, strict=True))
        return (np.concatenate([pairs[0], more[0]]), np.concatenate([pairs[1], more[1]])), only_a, only_b

    def differences(self, a: np.ndarray, b: np.ndarray) -> Iterator[RunDifference]:
        """Describe pairs, those of one place that differ in the same names at a time."""
        stated = [(name, self._differ(name, a, b)) for name in CONTENT]
        others = np.any([differs for name, differs in stated if name != "metric_version"], axis=0)
        stated.append((CODE, self._differ(CODE, a, b) & ~others))
        kinds: np.ndarray = self.place[a]
        for _, differs in stated:
            kinds = 2 * kinds + differs
        for members in _groups(kinds):
            names = [name for name, differs in stated if differs[members[0]]]
            yield self._difference(names, a[members], b[members])

    def _differ(self, name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Tell where both sides state a content, and not the same."""
        codes, said = self.codes[name], self._each(name, bool)
        differ: np.ndarray = said[a] & said[b] & (codes[a] != codes[b])
        return differ

    def _difference(self, names: Sequence[str], a: np.ndarray, b: np.ndarray) -> RunDifference:
        both, either = self.scored[a] & self.scored[b], self.scored[a] | self.scored[b]
        before, after, images = self.values[a[both]], self.values[b[both]], self.codes["image"][a[both]]
        with np.errstate(invalid="ignore"):  # two infinities of one sign agree, though their difference has no value
            steps = np.where(before == after, 0.0, after - before)
        finite = _over_seeds(images, np.where(np.isfinite(before) & np.isfinite(after), steps, np.inf))
        at = int(np.argmax(np.abs(steps))) if len(steps) else None
        largest = None if at is None else float(steps[at])
        return RunDifference(
            place=self.places[self.place[a[0]]],
            differs=tuple((name, self._sides(name, a, b)) for name in names),
            images=len(np.unique(self.codes["image"][a])),
            mean=summarise(finite, cast(Direction, self.text("direction", a[0]) or "none")) if finite else None,
            infinite=len(np.unique(images)) - len(finite),
            values=int(either.sum()),
            equal=int((before.view(np.int64) == after.view(np.int64)).sum()),
            largest=largest,
            largest_image=self._image(a[both][at]) if at is not None and largest else "",
            lost=tuple(map(self._image, a[either & ~self.scored[b]])),
            gained=tuple(map(self._image, b[either & ~self.scored[a]])),
            unit=self.text("unit", a[0]),
            decimals=int(self.text("decimals", a[0]) or 3),
            repeatable=bool(self.repeatable[a].all() and self.repeatable[b].all()),
        )

    def _image(self, row: int) -> str:
        image, seed = self.text("image", row), self.text("seed", row)
        return image if seed in ("", "0") else f"{image} (seed {seed})"

    def _sides(self, name: str, a: np.ndarray, b: np.ndarray) -> str:
        codes = self.codes[name]
        if name == CODE or (codes[a] != codes[a[0]]).any() or (codes[b] != codes[b[0]]).any():
            return ""
        left, right = self.text(name, a[0]), self.text(name, b[0])
        return f"{left[:8]} → {right[:8]}" if name.endswith("sha256") else f"{left} → {right}"

    def one_sided(self, side: str, alone: np.ndarray, others: np.ndarray) -> Iterator[OneSided]:
        """Gather rows without a twin: cells that the other run lacks, and metrics that its cells lack."""
        cell, first = distinct(self.rows, [name for name in IDENTITY if name != "metric"])
        held = np.zeros(len(first), dtype=bool)
        held[cell[others]] = True
        places, known = [replace(place, metric="") for place in self.places], dict[PairPlace, int]()
        numbers = np.array([known.setdefault(place, len(known)) for place in places], dtype=np.int64)
        where = numbers[self.place[alone]]
        part = held[cell[alone]]
        for members in _groups(2 * where + part):
            rows = alone[members]
            metrics = {self.text("metric", row) for row in rows} if part[members[0]] else ()
            yield OneSided(
                side, places[int(self.place[rows[0]])], tuple(sorted(set(map(self._image, rows)))),
                tuple(sorted(metrics)), int((self.scored[rows] & self.repeatable[rows]).sum()),
            )  # fmt: skip


def _twins(
    keys: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Pair rows of equal keys, in the order in which the left ones first appear; of one key the last row counts.

    keys: of all rows. left, right: rows. Returns the pairs, and the rows that count of the keys of one side only.
    """
    last = np.full((2, int(keys.max(initial=-1)) + 1), -1)
    orders = []
    for side, rows in enumerate((left, right)):
        last[side, keys[rows]] = rows  # of several NumPy keeps the last
        found, first = np.unique(keys[rows], return_index=True)
        orders.append(found[np.argsort(first)])
    shared: np.ndarray = (last[0] >= 0) & (last[1] >= 0)
    both = orders[0][shared[orders[0]]]
    only_a, only_b = (last[side][order[~shared[order]]] for side, order in enumerate(orders))
    return (last[0, both], last[1, both]), only_a, only_b


def _groups(kinds: np.ndarray) -> Iterator[np.ndarray]:
    """Give the places of equal numbers, those of one number at a time, in the order in which they first appear."""
    order = np.argsort(kinds, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1) if len(order) else []
    yield from sorted(parts, key=lambda part: int(part[0]))


def _over_seeds(images: np.ndarray, steps: np.ndarray) -> list[float]:
    """Average the steps of each image, in the order of their names; images with an infinite one are left out."""
    order = np.argsort(images, kind="stable")
    images, steps = images[order], steps[order]
    starts = np.flatnonzero(np.diff(images, prepend=-1))
    if len(starts) == len(images):
        return cast(list[float], steps[np.isfinite(steps)].tolist())
    parts = (part.tolist() for part in np.split(steps, starts[1:]))
    return [fmean(part) for part in parts if all(map(math.isfinite, part))]

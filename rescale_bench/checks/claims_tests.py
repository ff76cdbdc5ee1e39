"""The tests that decide a claim: paired differences on a run's rows, one part for each comparison that it makes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING

from rescale_bench.api.scales import is_integer
from rescale_bench.checks.claims import EVERY, FRACTIONAL, PAIRED, Claim
from rescale_bench.statistics.paired import PairedDifference, stratified, t_test_above
from rescale_bench.tables.collecting import scores
from rescale_bench.tables.scores import About, Score, name_of

if TYPE_CHECKING:
    import pandas as pd

IMAGES = 5
"""The fewest images that decide anything: Set5 (coverage of the t-interval there: see statistics/paired.py)."""
FEWEST = {FRACTIONAL: 3, EVERY: 8}
"""The fewest scales behind these words, and the fewest beside which a step can be seen."""
SOME = f" on {IMAGES} images or more"
NEEDS = {"draws": f"{SOME} with several seeds", "smooth": f"{SOME} with a smaller and a larger scale"}
"""What a claim may lack at a scale that was measured."""
Values = Mapping[str, float]
"""Image → value."""
Place = tuple[str, str]
"""Data set, scale."""


@dataclass(frozen=True)
class Part:
    """One comparison of a claim.

    at: what sets it apart from the claim's other parts ("×2 on Set5"). found: of the values that the test compares
    with the bounds (of their logarithms in a ratio), data sets with equal weight. holds: the p-value against "the
    bounds do not hold"; fails: against "they hold".
    """

    at: str
    found: PairedDifference
    holds: float
    fails: float


@dataclass
class Book:
    """The values of one protocol, by metric, codec and label."""

    protocol: str
    version: str
    values: dict[tuple[str, str, str], dict[Place, Values]] = field(default_factory=lambda: defaultdict(dict))
    """(metric, codec, label) → place → values."""
    seeds: dict[tuple[str, str, str], dict[Place, list[Values]]] = field(default_factory=lambda: defaultdict(dict))
    """The same, seed by seed, where there are several."""
    tags: dict[str, str] = field(default_factory=dict)
    """Label → tag of its weights, "" for a method without."""
    trained: dict[str, bool] = field(default_factory=dict)
    """Label → whether its numbers may be published."""
    about: dict[str, About] = field(default_factory=dict)
    """Metric → unit and decimals."""

    def add(self, score: Score) -> None:
        """Take a score in."""
        place = score.group.dataset, score.group.scale
        self.values[score.metric, score.group.codec, score.label][place] = score.finite
        self.tags[score.label] = "+".join(sorted(score.tags - {""}))
        self.trained[score.label] = score.trained
        self.about[score.metric] = score.about

    def labels(self, method: str, claim: Claim, codec: str) -> list[str]:
        """List the labels that a claim's method stands for: itself, or that method with any weights, run as usual."""
        held = [label for label in self.tags if (claim.metrics[0], codec, label) in self.values]
        if method in held and ("[" in method or "{" in method):
            return [method]
        return [label for label in held if name_of(label) == method and "{" not in label]

    def read(self, claim: Claim, codec: str, label: str) -> dict[Place, Values]:
        """Add the claim's metrics up, on the images where all are finite."""
        columns = [self.values.get((metric, codec, label), {}) for metric in claim.metrics]
        found: dict[Place, Values] = {}
        for place in columns[0]:
            if all(place in column for column in columns):
                images = set.intersection(*(set(column[place]) for column in columns))
                found[place] = {image: math.fsum(column[place][image] for column in columns) for image in images}
        return found


def read_books(rows: pd.DataFrame) -> list[Book]:
    """Sort prepared rows (rescale_bench.tables.rows.prepare) by protocol and version."""
    books: dict[tuple[str, str], Book] = {}
    for score in scores(rows, reference=""):
        key = score.group.protocol, score.group.protocol_version
        books.setdefault(key, Book(*key)).add(score)
    for seed in sorted(set(rows["seed"])) if rows["seed"].nunique() > 1 else ():
        for score in scores(rows[rows["seed"] == seed].reset_index(drop=True), reference=""):
            book = books[score.group.protocol, score.group.protocol_version]
            place = score.group.dataset, score.group.scale
            book.seeds[score.metric, score.group.codec, score.label].setdefault(place, []).append(score.finite)
    return list(books.values())


def make_parts(claim: Claim, book: Book, codec: str, labels: Mapping[str, str]) -> tuple[list[Part], list[str]]:
    """Make the comparisons of a claim, and list what they lack.

    labels: each method of the claim → the label whose rows it takes.
    """
    tables = {name: book.read(claim, codec, label) for name, label in labels.items()}
    parts, missing = [], []
    for method, other in product(claim.methods, claim.against or ("",)):
        pair = [name for name in (method, other) if name]
        shared = set.intersection(*(set(tables[name]) for name in pair))
        wanted = wanted_scales(claim, {scale for _, scale in shared})
        if len(wanted) < FEWEST.get(claim.scales[0], 1):
            kind = "fractional " * (claim.scales[0] == FRACTIONAL)
            missing.append(f"{' and '.join(pair)} at {FEWEST[claim.scales[0]]} {kind}scales or more")
            continue
        columns = {
            place: values
            for place, values in _columns(claim, book, codec, labels, tables, pair, shared)
            if len(values) > 1  # one image has no spread
        }
        if claim.test == "smooth" and claim.scales[0] in FEWEST:
            wanted = [scale for scale in wanted if scale in {place[1] for place in columns}]
        for scale, dataset in product(wanted, claim.datasets or ("",)):
            groups = {place[0]: values for place, values in columns.items() if place[1] == scale}
            groups = {name: values for name, values in groups.items() if dataset in ("", name.partition("@")[0])}
            at = f"×{scale}" + (f" on {dataset}" if dataset else "")
            if sum(map(len, groups.values())) < IMAGES:
                few = any(place[1] == scale and dataset in ("", place[0].partition("@")[0]) for place in shared)
                missing.append(f"{' and '.join(pair)} at {at}" + NEEDS.get(claim.test, SOME) * few)
                continue
            parts.append(_part(claim, _named(claim, method, other, at), groups))
    return parts, missing


def wanted_scales(claim: Claim, measured: set[str]) -> list[str]:
    """List the scales that a claim names; of "every" and "fractional", those that were measured."""
    if claim.scales[0] not in FEWEST:
        return list(claim.scales)
    found = sorted(measured, key=Decimal)
    return [scale for scale in found if not is_integer(Decimal(scale))] if claim.scales[0] == FRACTIONAL else found


def _named(claim: Claim, method: str, other: str, at: str) -> str:
    """Say which part this is, leaving out what all parts have in common."""
    first = f"{method} " if len(claim.methods) > 1 else ""
    return first + (f"vs {other} " if len(claim.against) > 1 else "") + at


def _columns(
    claim: Claim, book: Book, codec: str, labels: Mapping[str, str], tables: Mapping[str, Mapping[Place, Values]],
    pair: Sequence[str], shared: set[Place],
) -> Iterator[tuple[Place, list[float]]]:  # fmt: skip
    """Compute what the test compares with the bounds, image by image, at each place."""
    first = tables[pair[0]]
    for place in shared:
        if claim.test in PAIRED:
            yield place, _paired(claim.test, first[place], tables[pair[1]][place])
        elif claim.test == "value":
            yield place, list(first[place].values())
        elif claim.test == "smooth":
            yield place, _bends(place, first)
        else:
            yield place, _ranges(book.seeds.get((claim.metrics[0], codec, labels[pair[0]]), {}).get(place, []))


def _paired(test: str, a: Values, b: Values) -> list[float]:
    images = sorted(a.keys() & b.keys())
    if test == "difference":
        return [a[image] - b[image] for image in images]
    return [math.log(a[image] / b[image]) for image in images if a[image] > 0 and b[image] > 0]


def _bends(place: Place, table: Mapping[Place, Values]) -> list[float]:
    """Subtract from the values at a scale the line through both neighbours; none at the ends."""
    dataset, scale = place
    scales = sorted((other for name, other in table if name == dataset), key=Decimal)
    index = scales.index(scale)
    if index in (0, len(scales) - 1):
        return []
    low, high = scales[index - 1], scales[index + 1]
    share = math.log(float(scale) / float(low)) / math.log(float(high) / float(low))
    before, here, after = (table[dataset, each] for each in (low, scale, high))
    images = sorted(before.keys() & here.keys() & after.keys())
    return [here[image] - (1 - share) * before[image] - share * after[image] for image in images]


def _ranges(seeds: Sequence[Values]) -> list[float]:
    if len(seeds) < 2:
        return []
    images = sorted(set.intersection(*(set(values) for values in seeds)))
    return [max(values[image] for values in seeds) - min(values[image] for values in seeds) for image in images]


def _part(claim: Claim, at: str, groups: Mapping[str, Sequence[float]]) -> Part:
    found = stratified(groups)
    bounds = [claim.above, claim.below]
    if claim.test == "ratio":
        bounds = [math.log(bound) if bound > 0 else -math.inf for bound in bounds]
    low, high = bounds
    holds, fails = [], []
    if math.isfinite(low):
        holds.append(t_test_above(found, low))
        fails.append(1 - holds[-1])
    if math.isfinite(high):
        fails.append(t_test_above(found, high))
        holds.append(1 - fails[-1])
    # Both bounds must hold; where either fails the claim does, and two chances to fail count twice.
    return Part(at, found, max(holds), min(1.0, len(fails) * min(fails)))

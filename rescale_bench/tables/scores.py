"""Scores: what one method reached with one metric on one data set at one scale, from per-image values.

Images are never pooled over data sets or scales; infinite and undefined values stand outside the mean and are
counted; a method that lacks images keeps its mean but is not ranked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from statistics import fmean
from typing import Literal, cast

import numpy as np

from rescale_bench.api.specs import publishable
from rescale_bench.statistics.paired import Direction, PairedDifference, summarise

State = Literal["finite", "infinite", "undefined", "failed"]
WORST: tuple[State, ...] = ("finite", "infinite", "undefined", "failed")
"""Over the seeds of one image the worst state counts."""


@dataclass(frozen=True)
class Setting:
    """What a section of a leaderboard has in common."""

    protocol: str
    protocol_version: str
    dataset: str
    codec: str

    @property
    def title(self) -> str:
        """Name it: "Set5 · protocol rgb8 version 1 · codec jpeg:quality=90"."""
        parts = [self.dataset]
        if self.protocol:
            parts.append(f"protocol {self.protocol}")
            parts[-1] += f" version {self.protocol_version}" if self.protocol_version else ""
        if self.codec not in ("", "none"):
            parts.append(f"codec {self.codec}")
        return " · ".join(parts)

    @property
    def name(self) -> str:
        """Name it within its protocol: "Set5, LR as jpeg:quality=90"."""
        return self.dataset if self.codec in ("", "none") else f"{self.dataset}, LR as {self.codec}"


@dataclass(frozen=True)
class Group:
    """What is never mixed: one protocol, data set, scale and codec."""

    protocol: str
    protocol_version: str
    dataset: str
    codec: str
    scale: str

    @cached_property
    def order(self) -> tuple[str, str, str, str, Decimal]:
        """Sort by protocol, data set, codec, scale."""
        return self.protocol, self.protocol_version, self.dataset, self.codec, Decimal(self.scale)

    @cached_property
    def setting(self) -> Setting:
        """Give all of it but the scale."""
        return Setting(self.protocol, self.protocol_version, self.dataset, self.codec)


@dataclass(frozen=True)
class About:
    """What the rows say of a metric."""

    direction: Direction
    unit: str
    decimals: int
    pool: str
    repeatable: bool
    title: str


@dataclass(frozen=True)
class Whole:
    """A value of a whole data set; over several seeds their mean. value: None where undefined or failed.

    note: what it is worth and how it was computed. error: why there is none.
    """

    value: float | None
    note: str
    error: str


@dataclass(frozen=True)
class Images:
    """What one score's images came to, as columns.

    names: of all images of the table. which: the score's own, as places in names. states: of each, as a place in
    WORST. values: of each, the mean over seeds; what stands with an image that is not finite means nothing.
    counts: how many are in each state, in the order of WORST.
    pixels: of each, NaN where unknown; None where the metric does not weigh images.
    """

    names: np.ndarray
    which: np.ndarray
    states: np.ndarray
    values: np.ndarray
    counts: Sequence[int]
    pixels: np.ndarray | None = None


class Values(Mapping[str, float]):
    """Image → value of the finite images of a score; a dictionary is made when an image is asked for."""

    def __init__(self, images: Images) -> None:
        """Take the finite ones."""
        self.names, self.which, self.numbers = images.names, images.which, images.values
        if images.counts[0] < len(images.which):
            finite = images.states == 0
            self.which, self.numbers = images.which[finite], images.values[finite]

    @cached_property
    def by_name(self) -> dict[str, float]:
        """Map them as a dictionary does."""
        return dict(zip(self.names[self.which], self.numbers.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, image: str) -> float:
        return self.by_name[image]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)


@dataclass
class Score:
    """One method, one metric, one group.

    label: of the method. native: False where a wrapper serves the scale. tags: words of its weights tag.
    ceiling: True for an upper bound that is no rescaler.
    images: how many the group has. of_images: what came of those that have a row.
    everybody: the images on which some method has a value, as places in their names, in rising order; set once the
    group is complete; all for a whole data set.
    covers: whether it is finite on every image of everybody, and on no other; set with it.
    base: the score of the reference method, None for itself and where there is none.
    whole: the value of a metric of whole data sets; the images that it is of have it in common.
    sealed: False where the images were made elsewhere.
    """

    group: Group
    label: str
    metric: str
    about: About
    native: bool
    tags: frozenset[str]
    ceiling: bool
    images: int
    of_images: Images
    everybody: np.ndarray
    covers: bool = False
    base: Score | None = None
    whole: Whole | None = None
    sealed: bool = True

    @property
    def trained(self) -> bool:
        """Whether the row may be published: False for random weights, and for code without a version."""
        return _trained(self.tags)

    def count(self, state: State) -> int:
        """Count the images in a state."""
        return self.of_images.counts[WORST.index(state)]

    @property
    def missing(self) -> int:
        """Images of the group without a row."""
        return self.images - len(self.of_images.which)

    @cached_property
    def states(self) -> dict[str, State]:
        """Map the images that have a row to how their value came out."""
        found = self.of_images
        return dict(zip(found.names[found.which], map(WORST.__getitem__, found.states), strict=True))

    @cached_property
    def finite(self) -> Values:
        """Map the images with a finite value to it."""
        return Values(self.of_images)

    @property
    def scorable(self) -> list[str]:
        """Name the images on which some method has a value."""
        return cast(list[str], self.of_images.names[self.everybody].tolist())

    @cached_property
    def difference(self) -> PairedDifference | None:
        """Compare with the reference method, on the images where both are finite; None without such an image."""
        if self.base is None:
            return None
        mine, theirs = self.finite, self.base.finite
        a, b = mine.numbers, theirs.numbers
        if not np.array_equal(mine.which, theirs.which):
            _, left, right = np.intersect1d(mine.which, theirs.which, assume_unique=True, return_indices=True)
            a, b = a[left], b[right]
        return summarise((a - b).tolist(), self.about.direction) if len(a) else None

    @cached_property
    def mean(self) -> float | None:
        """The mean over finite images, or their sum where the metric says so; infinite where all are; None without."""
        if self.whole:
            return self.whole.value
        if self.finite:
            join = math.fsum if self.about.pool == "sum" else fmean
            return join(self.finite.numbers.tolist())
        return math.inf if self.count("infinite") else None

    @property
    def pooled(self) -> float | None:
        """Σ value·pixels / Σ pixels, None where the metric is not pooled or sizes are unknown."""
        if not self.finite or self.of_images.pixels is None:
            return None
        pixels = self.of_images.pixels[self.of_images.states == 0]
        if not np.isfinite(pixels).all():
            return None
        return math.fsum((self.finite.numbers * pixels).tolist()) / math.fsum(pixels.tolist())

    @property
    def ranked(self) -> bool:
        """Whether the mean is over the same images as everybody's, of a trained method, and comparable at all."""
        if self.about.direction == "none" or not self.about.repeatable or not self.trained or self.ceiling:
            return False
        return self.covers or (not self.finite and self.count("infinite") == len(self.everybody) > 0)


@cache
def _trained(tags: frozenset[str]) -> bool:
    return publishable("+".join(tags))


def reference_of(labels: set[str], reference: str) -> str | None:
    """Find the label that a reference method means: itself, or the only one of that method and options."""
    if reference in labels:
        return reference
    matches = [label for label in labels if name_of(label) == reference]
    return matches[0] if len(matches) == 1 else None


def name_of(label: str) -> str:
    """Cut weights, type and tile off a label: "irn:z=zero [published] {bf16}" is "irn:z=zero"."""
    return label.partition(" [")[0].partition(" {")[0]


def by_setting(scores: Iterable[Score]) -> dict[Setting, list[Score]]:
    """Split scores by protocol, its version, data set and codec."""
    found: dict[Setting, list[Score]] = {}
    for score in scores:
        found.setdefault(score.group.setting, []).append(score)
    return found


def best_first(labels: Iterable[str], leading: Mapping[str, Score]) -> list[str]:
    """Order methods by the leading metric: ranked ones first, best on top; then by name."""

    def place(label: str) -> tuple[bool, float, str]:
        score = leading.get(label)
        mean = None if score is None else score.mean
        if score is None or mean is None:
            return score is None or not score.ranked, math.inf, label
        return not score.ranked, mean if score.about.direction == "down" else -mean, label

    return sorted(labels, key=place)


def score_record(score: Score, reference: str) -> dict[str, str | int | float | bool | None]:
    """Flatten a score. mean: as Score.mean, over `finite` images."""
    difference = score.difference
    return {
        "protocol": score.group.protocol,
        "protocol_version": score.group.protocol_version,
        "dataset": score.group.dataset,
        "scale": score.group.scale,
        "codec": score.group.codec,
        "method": score.label,
        "native": score.native,
        "publishable": score.trained,
        "metric": score.metric,
        "direction": score.about.direction,
        "unit": score.about.unit,
        "mean": score.mean,
        "pooled": score.pooled,
        "images": score.images,
        "finite": len(score.finite),
        "infinite": score.count("infinite"),
        "undefined": score.count("undefined"),
        "failed": score.count("failed"),
        "missing": score.missing,
        "ranked": score.ranked,
        "reference": reference,
        "difference": getattr(difference, "mean", None),
        "low": getattr(difference, "low", None),
        "high": getattr(difference, "high", None),
        "pairs": getattr(difference, "n", None),
        "wins": getattr(difference, "wins", None),
    }

"""Scores: what one method reached with one metric on one data set at one scale, from per-image values.

Images are never pooled over data sets or scales; infinite and undefined values stand outside the mean and are
counted; a method that lacks images keeps its mean but is not ranked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, cast

from rescale_bench.api.specs import publishable
from rescale_bench.statistics.paired import Direction, PairedDifference, paired_difference

if TYPE_CHECKING:
    import pandas as pd

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

    @property
    def order(self) -> tuple[str, str, str, str, Decimal]:
        """Sort by protocol, data set, codec, scale."""
        return self.protocol, self.protocol_version, self.dataset, self.codec, Decimal(self.scale)

    @property
    def setting(self) -> Setting:
        """Give all of it but the scale."""
        return Setting(self.protocol, self.protocol_version, self.dataset, self.codec)


GROUP = ("protocol", "protocol_version", "dataset", "codec", "scale")
PIXELS = ("hr-pixels", "lr-pixels")
"""Pools whose values are weighted by pixels."""
SIZES = ("height", "width", "lr_height", "lr_width")
READ = ("image", "value", "status", "weights", "native", "ceiling", "origin", *SIZES)


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


@dataclass
class Score:
    """One method, one metric, one group.

    label: of the method. native: False where a wrapper serves the scale. tags: words of its weights tag.
    ceiling: True for an upper bound that is no rescaler.
    images: how many the group has. states: image → how its value came out; images without a row are absent.
    finite: image → value (mean over seeds). pixels: image → pixels that weigh it, where the metric is pooled.
    scorable: images on which some method has a value, set once the group is complete; all for a whole data set.
    difference: to the reference method, on the images where both are finite.
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
    states: dict[str, State] = field(default_factory=dict)
    finite: dict[str, float] = field(default_factory=dict)
    pixels: dict[str, float] = field(default_factory=dict)
    scorable: frozenset[str] = frozenset()
    difference: PairedDifference | None = None
    whole: Whole | None = None
    sealed: bool = True

    @property
    def trained(self) -> bool:
        """Whether the row may be published: False for random weights, and for code without a version."""
        return publishable("+".join(self.tags))

    def count(self, state: State) -> int:
        """Count the images in a state."""
        return sum(1 for value in self.states.values() if value == state)

    @property
    def missing(self) -> int:
        """Images of the group without a row."""
        return self.images - len(self.states)

    @property
    def mean(self) -> float | None:
        """The mean over finite images, or their sum where the metric says so; infinite where all are; None without."""
        if self.whole:
            return self.whole.value
        if self.finite:
            join = math.fsum if self.about.pool == "sum" else fmean
            return join(self.finite.values())
        return math.inf if self.count("infinite") else None

    @property
    def pooled(self) -> float | None:
        """Σ value·pixels / Σ pixels, None where the metric is not pooled or sizes are unknown."""
        if not self.finite or self.pixels.keys() != self.finite.keys():
            return None
        total = math.fsum(self.pixels.values())
        return math.fsum(value * self.pixels[image] for image, value in self.finite.items()) / total

    @property
    def ranked(self) -> bool:
        """Whether the mean is over the same images as everybody's, of a trained method, and comparable at all."""
        if self.about.direction == "none" or not self.about.repeatable or not self.trained or self.ceiling:
            return False
        same = self.finite.keys() == self.scorable
        return same or (not self.finite and self.count("infinite") == len(self.scorable) > 0)


def scores(rows: pd.DataFrame, reference: str) -> list[Score]:
    """Average prepared rows per group, method and metric, and compare with the reference method.

    reference: a method ("bicubic"), with options and weights where they matter ("irn:z=zero [published]").
    """
    of_images = rows["image"] != ""
    found = _collect(rows[of_images])
    found += _collect_sets(rows[~of_images])
    by_group: dict[tuple[Group, str], list[Score]] = {}
    for score in found:
        by_group.setdefault((score.group, score.metric), []).append(score)
    for members in by_group.values():
        scored = [score for score in members if score.trained and not score.ceiling] or members
        scorable = frozenset(
            image for score in scored for image, state in score.states.items() if state in ("finite", "infinite")
        )
        against = reference_of({score.label for score in members}, reference)
        base = next((score for score in members if score.label == against), None)
        for score in members:
            if not score.whole:
                score.scorable = scorable
            if base is not None and base is not score and not score.whole:
                score.difference = _difference(score, base)
    return sorted(found, key=lambda score: (score.group.order, score.label, score.metric))


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


def _difference(score: Score, base: Score) -> PairedDifference | None:
    shared = score.finite.keys() & base.finite.keys()
    if not shared:
        return None
    mine, theirs = ({image: values[image] for image in shared} for values in (score.finite, base.finite))
    return paired_difference(mine, theirs, score.about.direction)


def _collect(rows: pd.DataFrame) -> list[Score]:
    images = _images(rows)
    abouts = _abouts(rows)
    # Plain lists once, then positions per score: cutting a frame into thousands of small ones is slow.
    columns = {name: rows[name].tolist() for name in READ}
    found: list[Score] = []
    for key, where in rows.groupby([*GROUP, "label", "metric"], sort=False).indices.items():
        *names, label, metric = cast(tuple[str, ...], key)
        group, first = Group(*names), int(where[0])
        score = Score(
            group, label, metric, abouts[metric], _true(columns["native"][first]),
            _tags(columns["weights"][first]), _true(columns["ceiling"][first], default=False), images[group],
            sealed=columns["origin"][first] == "run",
        )  # fmt: skip
        _fill(score, columns, [int(index) for index in where])
        found.append(score)
    return found


def _collect_sets(rows: pd.DataFrame) -> list[Score]:
    """Make scores of the values of whole data sets. rows: as prepare gives them, one for each set and metric."""
    abouts = _abouts(rows)
    found = []
    for key, part in rows.groupby([*GROUP, "label", "metric"], sort=False):
        *names, label, metric = cast(tuple[str, ...], key)
        first, values = part.iloc[0], part["value"].tolist()
        state = max(map(_state, values, part["status"]), key=WORST.index)
        value = fmean(values) if state in ("finite", "infinite") else None
        score = Score(
            Group(*names), label, metric, abouts[metric], _true(first["native"]), _tags(first["weights"]),
            _true(first["ceiling"], default=False), len(first["images"]), scorable=first["images"],
            whole=Whole(value, " ".join(dict.fromkeys(part["note"])), next(filter(None, part["error"]), "")),
            sealed=first["origin"] == "run",
        )  # fmt: skip
        images = set.intersection(*map(set, part["members"]))
        score.states = dict.fromkeys(images, state)
        score.finite = dict.fromkeys(images, value) if value is not None and state == "finite" else {}
        found.append(score)
    return found


def _fill(score: Score, columns: Mapping[str, Sequence[Any]], where: Sequence[int]) -> None:
    seen: dict[str, list[tuple[State, float]]] = {}
    sides = ("height", "width") if score.about.pool == "hr-pixels" else ("lr_height", "lr_width")
    for index in where:
        image, value = columns["image"][index], columns["value"][index]
        seen.setdefault(image, []).append((_state(value, columns["status"][index]), value))
        pixels = float(columns[sides[0]][index]) * float(columns[sides[1]][index])
        if score.about.pool in PIXELS and math.isfinite(pixels):
            score.pixels[image] = pixels
    for image, values in seen.items():
        _settle(score, image, values)


def _settle(score: Score, image: str, seen: list[tuple[State, float]]) -> None:
    state = max((one for one, _ in seen), key=WORST.index)
    score.states[image] = state
    if state == "finite":
        score.finite[image] = fmean(value for _, value in seen)
    else:
        score.pixels.pop(image, None)


def _images(rows: pd.DataFrame) -> dict[Group, int]:
    counts = rows.groupby(list(GROUP), sort=False)["image"].nunique()
    return {Group(*cast(tuple[str, ...], key)): int(n) for key, n in counts.items()}


def _abouts(rows: pd.DataFrame) -> dict[str, About]:
    columns = ["metric", "direction", "unit", "decimals", "pool", "repeatable", "title"]
    first = rows[columns].drop_duplicates("metric")
    return {
        row.metric: About(row.direction, row.unit, int(row.decimals), row.pool, _true(row.repeatable), row.title)
        for row in cast(Iterator[Any], first.itertuples(index=False))
    }


def _state(value: float, status: str) -> State:
    if status != "ok":
        return "undefined" if status == "undefined" else "failed"
    if math.isnan(value):
        return "undefined"
    return "infinite" if math.isinf(value) else "finite"


def _true(value: Any, default: bool = True) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return default
    return str(value).lower() not in ("false", "0", "0.0", "")


def _tags(weights: str) -> frozenset[str]:
    return frozenset(weights.split("+"))

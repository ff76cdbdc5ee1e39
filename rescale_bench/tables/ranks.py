"""Ranks with ties: two methods share a rank where the images cannot tell them apart.

Within one protocol, data set, codec, scale and metric every pair of methods is compared by a sign-flip test of its
paired differences, corrected over all pairs after Holm. A method's rank runs from 1 + the methods that are better
beyond chance to the number of methods − those that are worse (`spec/metrics.md`, "Statistics").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import TYPE_CHECKING

from rescale_bench.api.specs import RANDOM
from rescale_bench.errors import UsageError
from rescale_bench.machine.printable import plural
from rescale_bench.statistics import paired as statistics
from rescale_bench.statistics.paired import Direction, PairedDifference
from rescale_bench.tables.collecting import scores
from rescale_bench.tables.leaderboard import PRIMARY
from rescale_bench.tables.model import (
    MISSING,
    Leaderboard,
    Record,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    difference_cell,
    method_cell,
    number_cell,
    signed,
)
from rescale_bench.tables.rows import choose_metrics, prepare
from rescale_bench.tables.scores import Group, Score, Setting
from rescale_bench.tables.seeds import Key, Spread, fold_seeds, seed_spreads
from rescale_bench.tables.sweep import metric_column

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.05
EXPLAINED = (
    "Δ: mean paired difference to the method with the best mean ± half the 95 % t-interval; "
    "wins: images on which the row beats it; p: sign-flip test of Δ, Holm over all pairs; "
    "Wilcoxon: p of its signed-rank test, uncorrected."
)
SEEDS = (
    "SD over seeds: of the method's mean when it is run again with other seeds (how many, in brackets); "
    "it is no part of the interval, which is over images."
)
Differences = Mapping[str, Sequence[float]]
"""Data set → paired differences."""


@dataclass(frozen=True)
class Rank:
    """One method's place.

    best, worst: the places it may have, 1 is first. mean: over the images, or of the data sets' means.
    difference: to the method with the best mean, None for itself. p: of that difference, by sign flips, corrected
    after Holm over all pairs; wilcoxon: uncorrected, beside it; both None below 6 images and for the best itself.
    low, high: the BCa interval of the difference from 50 images of one data set on, else None.
    spread: of the mean over seeds, None where there is one seed, and over several data sets.
    """

    label: str
    mean: float
    best: int
    worst: int
    difference: PairedDifference | None = None
    p: float | None = None
    wilcoxon: float | None = None
    low: float | None = None
    high: float | None = None
    spread: Spread | None = None

    @property
    def text(self) -> str:
        """Write the places: "1" or "2–4"."""
        return str(self.best) if self.best == self.worst else f"{self.best}–{self.worst}"


@dataclass(frozen=True)
class Ranking:
    """The methods of one group under one metric, best mean first.

    group: what they share; its data set names all of them where several are weighed equally. column: of the metric.
    images: everybody's. left_out: methods without a rank, and why.
    """

    group: Group
    column: TableColumn
    images: int
    ranks: tuple[Rank, ...]
    left_out: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        """What they are ranked by."""
        return self.column.metric

    @property
    def notes(self) -> tuple[str, ...]:
        """Say what the ranks rest on."""
        found = []
        pairs = len(self.ranks) * (len(self.ranks) - 1) // 2
        images = plural(self.images, "image")
        if self.images < statistics.ATTAINABLE:
            found.append(f"{self.metric}: not separable on {images}: below {statistics.ATTAINABLE} "
                         "no sign-flip test reaches p < 0.05, so all methods share their ranks.")  # fmt: skip
        elif any(rank.best != rank.worst for rank in self.ranks):
            found.append(f"{self.metric}: methods whose ranks overlap are not separable on {images} "
                         f"(sign-flip p ≥ {LEVEL:g}, Holm over {pairs} pairs).")  # fmt: skip
        return (*found, *(f"{self.metric}: no rank for {text}." for text in self.left_out))


def rank_methods(frame: pd.DataFrame, metrics: Sequence[str] | None = None) -> list[Ranking]:
    """Rank the methods of a run, group by group, and over data sets where there are several.

    metrics: by default the first of psnr_y, psnr_rgb, ssim_y that the run holds. Raises UsageError where nothing can
    be ranked, UnknownNameError for metrics that the run lacks.
    """
    rows = prepare(fold_seeds(frame))
    names = choose_metrics(rows, metrics or primary_metrics(rows))
    rows = rows[rows["metric"].isin(names)].reset_index(drop=True)
    spreads = seed_spreads(rows)
    by_group: dict[tuple[str, Group], list[Score]] = {}
    for score in scores(rows, reference=""):
        by_group.setdefault((score.metric, score.group), []).append(score)
    keys = sorted(by_group, key=lambda key: (key[1].order, names.index(key[0])))
    found = [ranking for key in keys if (ranking := _ranking(key[1], by_group[key], spreads)) is not None]
    found += _over_data_sets(by_group)
    if not found:
        raise UsageError("no two methods have comparable values on the same images")
    return found


def primary_metrics(rows: pd.DataFrame) -> list[str]:
    """Choose the first of psnr_y, psnr_rgb, ssim_y that prepared rows hold. Raises UsageError where there is none."""
    held = set(rows["metric"])
    known = [name for name in PRIMARY if name in held][:1]
    if not known:
        raise UsageError(f"the run holds none of {', '.join(PRIMARY)}; name the metrics")
    return known


def _ranking(group: Group, members: Sequence[Score], spreads: Mapping[Key, Spread]) -> Ranking | None:
    kept = [score for score in members if score.ranked and score.finite]
    if len(kept) < 2:
        return None
    values = {score.label: {group.dataset: score.finite.by_name} for score in kept}
    ranks = tuple(
        dataclasses.replace(rank, spread=spreads.get((group, rank.label, members[0].metric)))
        for rank in rank_labels(values, members[0].about.direction)
    )
    left_out = tuple(f"{score.label} ({_why(score)})" for score in members if score not in kept)
    return Ranking(group, metric_column(members[0]), len(kept[0].finite), ranks, left_out)


def _why(score: Score) -> str:
    if score.about.direction == "none" or not score.about.repeatable:
        return "the metric has no better or no fixed value"
    if not score.trained:
        return "its weights were drawn, not trained" if RANDOM in score.tags else "its code has no version"
    if score.ceiling:
        return "a ceiling, not a rescaler"
    if not score.finite:
        return f"infinite on {score.count('infinite')} images" if score.count("infinite") else "no value"
    return f"finite on {len(score.finite)} of {len(score.everybody)} images"


def _over_data_sets(by_group: Mapping[tuple[str, Group], Sequence[Score]]) -> list[Ranking]:
    """Rank over data sets of equal weight: the methods that have a rank in each of them."""
    settings: dict[tuple[Group, str], list[list[Score]]] = {}
    for (metric, group), members in by_group.items():
        kept = [score for score in members if score.ranked and score.finite]
        settings.setdefault((dataclasses.replace(group, dataset=""), metric), []).append(kept)
    found = []
    for (group, _), sets in sorted(settings.items(), key=lambda item: (item[0][0].order, item[0][1])):
        shared = set.intersection(*({score.label for score in members} for members in sets))
        if len(sets) < 2 or len(shared) < 2:
            continue
        values: dict[str, dict[str, Mapping[str, float]]] = {label: {} for label in sorted(shared)}
        for score in (score for members in sets for score in members if score.label in shared):
            values[score.label][score.group.dataset] = score.finite.by_name
        first = sets[0][0]
        names = " + ".join(sorted(members[0].group.dataset for members in sets))
        images = sum(len(one) for one in values[min(shared)].values())
        ranks = rank_labels(values, first.about.direction)
        named = dataclasses.replace(group, dataset=f"{names}, equal weight")
        found.append(Ranking(named, metric_column(first), images, ranks))
    return found


def rank_labels(values: Mapping[str, Mapping[str, Mapping[str, float]]], direction: Direction) -> tuple[Rank, ...]:
    """Rank methods given as label → data set → image → value, on identical images."""
    means = {label: fmean(fmean(one.values()) for one in sets.values()) for label, sets in values.items()}
    sign = -1 if direction == "down" else 1
    order = sorted(values, key=lambda label: (-sign * means[label], label))
    pairs = list(combinations(order, 2))
    gaps: dict[tuple[str, str], Differences] = {
        (a, b): {name: statistics.differences(values[a][name], values[b][name]) for name in values[a]} for a, b in pairs
    }
    p_values = dict(zip(pairs, _corrected([gaps[pair] for pair in pairs]), strict=True))
    better = dict.fromkeys(order, 0)
    worse = dict(better)
    for a, b in pairs:
        p = p_values[a, b]
        if p is not None and p < LEVEL:  # a stands before b, so its mean is the better one
            better[b] += 1
            worse[a] += 1
    found = []
    for label in order:
        place = 1 + better[label], len(order) - worse[label]
        rank = Rank(label, means[label], *place)
        if label != order[0]:
            gap = {name: [-value for value in one] for name, one in gaps[order[0], label].items()}
            rank = _against(rank, gap, direction, p_values[order[0], label])
        found.append(rank)
    return tuple(found)


def _corrected(gaps: Sequence[Differences]) -> list[float | None]:
    """Test each pair and correct after Holm; a data set's differences weigh as the inverse of its size."""
    columns = [[value / len(one) for one in gap.values() for value in one] for gap in gaps]
    raw = statistics.sign_flip_tests(columns)
    if any(p is None for p in raw):
        return [None] * len(raw)
    return list(statistics.holm([p for p in raw if p is not None]))


def _against(rank: Rank, gap: Differences, direction: Direction, p: float | None) -> Rank:
    """Add the difference to the best: itself, p, and within one data set Wilcoxon's p and the BCa interval."""
    if len(gap) > 1:
        return dataclasses.replace(rank, difference=statistics.stratified(gap, direction), p=p)
    values = next(iter(gap.values()))
    low, high = statistics.bca_interval(values) or (None, None)
    found = statistics.summarise(values, direction)
    return dataclasses.replace(
        rank, difference=found, p=p, wilcoxon=statistics.wilcoxon_test(values), low=low, high=high
    )  # fmt: skip


def rank_board(rankings: Sequence[Ranking]) -> Leaderboard:
    """Lay rankings out as one section per protocol, data sets and codec, one table per scale and metric."""
    sections: dict[Setting, list[Ranking]] = {}
    for ranking in rankings:
        sections.setdefault(ranking.group.setting, []).append(ranking)
    return Leaderboard(tuple(_section(*item) for item in sections.items()), tuple(_records(rankings)))


def _section(setting: Setting, members: Sequence[Ranking]) -> Section:
    notes = dict.fromkeys(note for ranking in members for note in ranking.notes)
    if any(rank.spread for ranking in members for rank in ranking.ranks):
        notes[SEEDS] = None
    return Section(setting, tuple(rank_table(ranking) for ranking in members), (EXPLAINED, *notes))


def rank_table(ranking: Ranking) -> Table:
    """Lay one ranking out, best first."""
    bootstrapped = any(rank.low is not None for rank in ranking.ranks)
    seeded = any(rank.spread for rank in ranking.ranks)
    columns = [
        TableColumn("rank", "text", priority=0),
        TableColumn("method", "text", priority=0),
        dataclasses.replace(ranking.column, priority=1),
        *[TableColumn("SD over seeds")] * seeded,
        dataclasses.replace(ranking.column, name="Δ to best", kind="difference", priority=2),
        TableColumn("wins", priority=4),
        TableColumn("p", priority=3),
        TableColumn("Wilcoxon"),
        *[TableColumn("BCa 95 %")] * bootstrapped,
    ]
    rows = tuple(
        Row(tuple(_cells(rank, ranking.column.decimals, seeded, bootstrapped)), rank.label, ranking.group.scale)
        for rank in ranking.ranks
    )
    images = plural(ranking.images, "image")
    return Table(f"×{ranking.group.scale} · {images}", tuple(columns), rows)


def _cells(rank: Rank, decimals: int, seeded: bool, bootstrapped: bool) -> Iterator[TableCell]:
    yield TableCell(rank.text, rank.best)
    yield method_cell(rank.label)
    yield number_cell(rank.mean, decimals)
    if seeded:
        yield _spread(rank.spread, decimals)
    found = rank.difference
    if found is None:
        yield TableCell("best", 0)
        yield from [TableCell("")] * (3 + bootstrapped)
        return
    yield difference_cell(found, decimals)
    yield TableCell(f"{found.wins}/{found.n}", found.wins)
    yield from map(_p, (rank.p, rank.wilcoxon))
    if bootstrapped and rank.low is not None and rank.high is not None:
        digits = statistics.decimals_for(found.half_width, decimals)
        yield TableCell(f"{signed(rank.low, digits)} to {signed(rank.high, digits)}", rank.low)
    elif bootstrapped:
        yield TableCell(MISSING)


def _spread(spread: Spread | None, decimals: int) -> TableCell:
    if spread is None:
        return TableCell(MISSING)
    return TableCell(f"{spread.sd:.{statistics.decimals_for(spread.sd, decimals)}f} ({spread.seeds})", spread.sd)


def _p(value: float | None) -> TableCell:
    if value is None:
        return TableCell(MISSING)
    return TableCell("< 0.0001" if value < 0.0001 else f"{value:.2g}", value)


def _records(rankings: Sequence[Ranking]) -> Iterator[Record]:
    for ranking in rankings:
        for rank in ranking.ranks:
            yield {
                **dataclasses.asdict(ranking.group), "metric": ranking.metric, "images": ranking.images,
                "method": rank.label, "rank_best": rank.best, "rank_worst": rank.worst, "mean": rank.mean,
                "difference": getattr(rank.difference, "mean", None), "low": getattr(rank.difference, "low", None),
                "high": getattr(rank.difference, "high", None), "wins": getattr(rank.difference, "wins", None),
                "p_holm": rank.p, "p_wilcoxon": rank.wilcoxon, "bca_low": rank.low, "bca_high": rank.high,
                "seeds": rank.spread.seeds if rank.spread else 1,
                "sd_over_seeds": rank.spread.sd if rank.spread else None,
            }  # fmt: skip

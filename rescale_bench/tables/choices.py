"""Which method, scale, codec and quality to take: the Pareto front of bits and quality, and a ranked answer.

A candidate is a method at one scale through one codec setting. Bits are those of the real files in the loop. All
candidates of an answer are compared on the same images; the ranks are those of `table --rank`, by paired differences.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.machine.printable import plural
from rescale_bench.statistics.paired import ATTAINABLE, PairedDifference, summarise
from rescale_bench.tables.collecting import scores
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
    scale_cell,
)
from rescale_bench.tables.ranks import LEVEL, Rank, rank_labels
from rescale_bench.tables.rows import choose_metrics, prepare
from rescale_bench.tables.scores import Score, Setting
from rescale_bench.tables.sweep import metric_column

if TYPE_CHECKING:
    import pandas as pd

RATE = "bpp"
SECONDS = ("seconds_down", "seconds_up")
LISTED = 6
"""Gaps of one kind that are named; the others are counted."""
EXPLAINED = (
    "Ranked: each method with each codec, at its best setting within the limits. Δ: mean paired difference to the best "
    "± half the 95 % t-interval; p: sign-flip test of Δ, Holm over all pairs; bpp: mean bits of the LR file per HR "
    "pixel ± half its 95 % t-interval over the images; s/MP: median seconds per HR megapixel, down and up, on the "
    "machine of the run and without the codec; next: the cheapest measured setting of the same method, scale and codec "
    "beyond the limits, nothing between the two was tried."
)
FRONT = "The front: no measured candidate has fewer bits and at least the quality. * within the limits"


@dataclass(frozen=True)
class Limits:
    """What an answer must keep: mean bits per HR pixel, and seconds per HR megapixel (None: any)."""

    bpp: float
    seconds: float | None = None

    @property
    def text(self) -> str:
        """Write them: "at most 0.5 bit/px and 5 s/MP"."""
        more = f" and {self.seconds:g} s/MP" if self.seconds is not None else ""
        return f"at most {self.bpp:g} bit/px{more}"


@dataclass(frozen=True)
class Candidate:
    """A method at one scale through one codec setting.

    quality: image → value of the metric. bits: image → bits per HR pixel. seconds: per HR megapixel, median over the
    images, NaN where nobody measured it.
    """

    method: str
    scale: str
    codec: str
    quality: dict[str, float]
    bits: dict[str, float]
    seconds: float

    @property
    def name(self) -> str:
        """Tell it from the others of one answer."""
        return f"{self.method} ×{self.scale} {self.codec}"

    @property
    def family(self) -> str:
        """Give the codec without its options: "jpeg"."""
        return self.codec.partition(":")[0]

    @cached_property
    def rate(self) -> PairedDifference:
        """The mean of the bits and its t-interval over the images."""
        return summarise(list(self.bits.values()))

    @cached_property
    def mean(self) -> float:
        """The mean quality."""
        return summarise(list(self.quality.values())).mean

    def keeps(self, limits: Limits) -> bool:
        """Tell whether it stays within the limits; an unknown time does not."""
        return self.rate.mean <= limits.bpp and (limits.seconds is None or self.seconds <= limits.seconds)


@dataclass(frozen=True)
class Answer:
    """What a run says on one data set under one protocol.

    candidates: compared, on the same images. front: of them all, fewest bits first. ranks: of the best candidate of
    each method and codec within the limits, by its name, best first. gaps: what was left out or not tried, a line each.
    head: any score of the metric.
    """

    setting: Setting
    head: Score
    limits: Limits
    images: int
    candidates: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    ranks: tuple[Rank, ...]
    gaps: tuple[str, ...]

    @property
    def column(self) -> TableColumn:
        """The metric."""
        return metric_column(self.head)

    @property
    def best(self) -> Candidate | None:
        """The candidate with the best mean within the limits."""
        return self.named(self.ranks[0].label) if self.ranks else None

    def named(self, name: str) -> Candidate:
        """Find a candidate."""
        return next(each for each in self.candidates if each.name == name)

    def next_beyond(self, candidate: Candidate) -> Candidate | None:
        """Find the cheapest setting of the same method, scale and codec that breaks the limits."""
        others = (
            each
            for each in self.candidates
            if (each.method, each.scale, each.family) == (candidate.method, candidate.scale, candidate.family)
            and each.rate.mean > candidate.rate.mean
            and not each.keeps(self.limits)
        )
        return min(others, key=lambda each: each.rate.mean, default=None)


def answers(frame: pd.DataFrame, metric: str, limits: Limits, datasets: Sequence[str] = ()) -> list[Answer]:
    """Answer for each data set and protocol of a run's tidy rows. datasets: only these.

    Raises UsageError where the run lacks bits or the metric has no better side, UnknownNameError for names it lacks.
    """
    rows = prepare(frame)
    held = set(rows["metric"])
    if RATE not in held:
        raise UsageError(f"the run holds no {RATE}: run the same command again with {RATE} among its metrics")
    if limits.seconds is not None and not held.issuperset(SECONDS):
        raise UsageError(f"the run holds no {' and '.join(SECONDS)}: run it again with them, or drop the limit on time")
    name = choose_metrics(rows, [metric])[0]
    known = set(rows["dataset"])
    for each in datasets:
        if each not in known:
            raise UnknownNameError("data set in this run", each, known)
    rows = rows[rows["metric"].isin([name, RATE, *SECONDS]) & rows["dataset"].isin(list(datasets) or known)]
    settings: dict[Setting, list[Score]] = {}
    for score in scores(rows, ""):
        settings.setdefault(dataclasses.replace(score.group.setting, codec=""), []).append(score)
    return [_answer(setting, members, name, limits) for setting, members in settings.items()]


def _answer(setting: Setting, members: Sequence[Score], metric: str, limits: Limits) -> Answer:
    head = next(score for score in members if score.metric == metric)
    if head.about.direction == "none":
        raise UsageError(f"{metric} has no better side: nothing can be chosen by it", "metric")
    found, left_out = _candidates(members, metric)
    sign = -1 if head.about.direction == "down" else 1
    fast = [each for each in found if limits.seconds is None or each.seconds <= limits.seconds]
    front = pareto(fast, sign)
    best: dict[tuple[str, str], Candidate] = {}
    for each in (one for one in found if one.keeps(limits)):
        first = best.setdefault((each.method, each.family), each)
        if sign * each.mean > sign * first.mean:
            best[each.method, each.family] = each
    values = {each.name: {setting.dataset: each.quality} for each in best.values()}
    gaps = (*left_out, *_untimed(found, limits), *_not_measured(members, metric))
    images = len(found[0].quality) if found else 0
    ranks = rank_labels(values, head.about.direction)
    return Answer(setting, head, limits, images, tuple(found), front, ranks, gaps)


def pareto(candidates: Iterable[Candidate], sign: int) -> tuple[Candidate, ...]:
    """Find those that no other beats in bits at their quality, fewest bits first. sign: 1 where more is better."""
    front: list[Candidate] = []
    for each in sorted(candidates, key=lambda one: (one.rate.mean, -sign * one.mean, one.name)):
        if not front or sign * each.mean > sign * front[-1].mean:
            front.append(each)
    return tuple(front)


def _candidates(members: Sequence[Score], metric: str) -> tuple[list[Candidate], list[str]]:
    """Pair quality, bits and time; what is not finite on all images is left out, with the reason."""
    at = {(s.group.scale, s.group.codec, s.label, s.metric): s for s in members}
    qualities = [score for score in members if score.metric == metric]
    images = {image for score in qualities for image in score.finite}
    found: list[Candidate] = []
    left_out: dict[str, list[str]] = {}
    for score in qualities:
        place = score.group.scale, score.group.codec, score.label
        bits = at.get((*place, RATE))
        reason = _unfit(score, bits, images)
        if reason or bits is None:
            left_out.setdefault(reason, []).append(f"{score.label} ×{score.group.scale} {_short(score.group.codec)}")
            continue
        halves = [at.get((*place, name)) for name in SECONDS]
        pixels = _pixels(bits)
        times = [
            sum(half.finite.get(image, math.nan) if half else math.nan for half in halves) / pixels[image] * 1e6
            for image in images
            if image in pixels
        ]
        seconds = median(times) if times and all(map(math.isfinite, times)) else math.nan
        found.append(Candidate(score.label, place[0], place[1], dict(score.finite), dict(bits.finite), seconds))
    return found, [line for reason, names in left_out.items() for line in _shortened(f"left out, {reason}", names)]


def _pixels(score: Score) -> dict[str, float]:
    """Map the images of a metric that weighs them to their pixels."""
    found = score.of_images
    return {} if found.pixels is None else dict(zip(found.names[found.which], found.pixels.tolist(), strict=True))


def _unfit(score: Score, bits: Score | None, images: Collection[str]) -> str:
    if score.ceiling:
        return "a ceiling, not a rescaler"
    if not score.trained:
        return "drawn weights or code without a version"
    if score.count("infinite"):
        rate = f", {bits.mean:.3g} bit/px" if bits is not None and bits.mean is not None else ""
        return f"lossless on {score.count('infinite')} of {score.images} images{rate}"
    shared = score.finite.keys() & (bits.finite.keys() if bits is not None else set())
    return "" if shared == images else f"measured on {len(shared)} of {len(images)} images"


def _untimed(found: Iterable[Candidate], limits: Limits) -> list[str]:
    missing = [each.name for each in found if limits.seconds is not None and math.isnan(each.seconds)]
    return _shortened("without a time, so not within the limits", missing)


def _not_measured(members: Sequence[Score], metric: str) -> list[str]:
    """Name what the grid of the run lacks: methods × scales with only some of the codecs of others, or none."""
    measured = {(s.label, s.group.scale, s.group.codec) for s in members if s.metric == metric}
    codecs = {codec for _, _, codec in measured}
    scales = {scale for _, scale, _ in measured}
    gaps = []
    for label in sorted({label for label, _, _ in measured}):
        own = {scale for each, scale, _ in measured if each == label}
        # What keeps a photograph's size rescales nothing, and rescalers have nothing to do at scale 1.
        asked = own if own == {"1"} else scales - ({"1"} - own)
        for scale in sorted(asked, key=Decimal):
            here = {codec for each, other, codec in measured if (each, other) == (label, scale)}
            if len(here) < len(codecs):
                gaps.append(f"{label} ×{scale} with {len(codecs) - len(here)} of {len(codecs)} codec settings")
    return _shortened("not measured", gaps)


def _shortened(what: str, names: Sequence[str]) -> list[str]:
    more = [f"{len(names) - LISTED} more"] if len(names) > LISTED else []
    return [f"{what[0].upper()}{what[1:]}: {'; '.join([*names[:LISTED], *more])}."] if names else []


def unused(frame: pd.DataFrame, codecs: Iterable[str], methods: Iterable[str]) -> str:
    """Say which codecs of an installation a run does not hold, and whether it lacks methods; "" for none."""
    held = {str(codec).partition(":")[0] for codec in frame["codec"].unique()} if "codec" in frame else set()
    absent = sorted(set(codecs) - held)
    others = set(methods) - set(frame["method"].unique())
    parts = [f"the codecs {', '.join(absent)}"] if absent else []
    parts += ["other methods of `list methods`"] if others else []
    return f"Not in this run: {', and '.join(parts)}." if parts else ""


def choice_board(found: Sequence[Answer], more: str = "") -> Leaderboard:
    """Lay answers out: the ranked answer, then the front. more: a last note of each section."""
    sections = tuple(_section(answer, more) for answer in found)
    return Leaderboard(sections, tuple(record for answer in found for record in _records(answer)))


def _section(answer: Answer, more: str) -> Section:
    images = plural(answer.images, "image")
    tables = [_front(answer)] if answer.front else []
    notes = [f"No measured candidate has {answer.limits.text}."]
    if answer.ranks:
        tables = [_ranked(answer, f"Best with {answer.limits.text} · {images}"), *tables]
        notes = [EXPLAINED]
    if answer.ranks and answer.images < ATTAINABLE:
        notes.append(f"Not separable on {images}: below {ATTAINABLE} no sign-flip test reaches p < 0.05.")
    pairs = len(answer.ranks) * (len(answer.ranks) - 1) // 2
    if answer.images >= ATTAINABLE and (least := pairs * 2 / 2**answer.images) >= LEVEL:
        notes.append(f"Not separable on {images}: after Holm over {pairs} pairs no p can fall below {least:.2g}.")
    notes += [*answer.gaps, *[more] * bool(more)]
    return Section(answer.setting, tuple(tables), tuple(notes))


def _where() -> tuple[TableColumn, ...]:
    return (
        TableColumn("method", "text", priority=0),
        TableColumn("scale", priority=0),
        TableColumn("codec", "text", priority=0),
    )


def _placed(candidate: Candidate) -> tuple[TableCell, ...]:
    return method_cell(candidate.method), scale_cell(candidate.scale), TableCell(_short(candidate.codec))


def _short(codec: str) -> str:
    return codec.replace("quality=", "")


def _ranked(answer: Answer, title: str) -> Table:
    columns = (
        TableColumn("rank", "text", priority=0),
        *_where(),
        dataclasses.replace(answer.column, priority=1),
        dataclasses.replace(answer.column, name="Δ to best", kind="difference", priority=3),
        TableColumn("p", priority=6),
        TableColumn(RATE, direction="down", unit="bit/px", priority=2),
        *_time(answer),
        TableColumn("next", "text", priority=5),
    )
    rows = []
    for rank in answer.ranks:
        each = answer.named(rank.label)
        beyond = answer.next_beyond(each)
        cells = (
            TableCell(rank.text, rank.best), *_placed(each), number_cell(rank.mean, answer.column.decimals),
            TableCell("best", 0) if rank.difference is None else difference_cell(rank.difference, 3),
            TableCell("" if rank.difference is None else MISSING if rank.p is None else f"{rank.p:.2g}", rank.p),
            _rate(each), *[number_cell(each.seconds, 3)] * len(_time(answer)),
            TableCell(f"{_short(beyond.codec)}, {beyond.rate.mean:.3f}" if beyond else "not tried"),
        )  # fmt: skip
        rows.append(Row(cells, each.method, each.scale))
    return Table(title, columns, tuple(rows))


def _time(answer: Answer) -> list[TableColumn]:
    """Give the column of seconds where anything was timed."""
    timed = any(math.isfinite(each.seconds) for each in answer.candidates)
    return [TableColumn("s/MP", direction="down", priority=4)] if timed else []


def _rate(candidate: Candidate) -> TableCell:
    half = candidate.rate.half_width
    spread = "" if math.isnan(half) else f" ± {half:.3f}"
    return TableCell(f"{candidate.rate.mean:.3f}{spread}", candidate.rate.mean)


def _front(answer: Answer) -> Table:
    columns = (
        *_where(),
        TableColumn(RATE, direction="down", unit="bit/px", priority=1),
        dataclasses.replace(answer.column, priority=1),
        *_time(answer),
    )
    rows = [
        Row(
            (*_placed(each), TableCell(f"{'*' * each.keeps(answer.limits)}{each.rate.mean:.3f}", each.rate.mean),
             number_cell(each.mean, answer.column.decimals), *[number_cell(each.seconds, 3)] * len(_time(answer))),
            each.method, each.scale,
        )
        for each in answer.front
    ]  # fmt: skip
    return Table(FRONT, columns, tuple(rows))


def _records(answer: Answer) -> Iterator[Record]:
    ranks = {rank.label: rank for rank in answer.ranks}
    for each in answer.candidates:
        rank = ranks.get(each.name)
        yield {
            **dataclasses.asdict(answer.setting), "method": each.method, "scale": each.scale, "codec": each.codec,
            "metric": answer.column.metric, "mean": each.mean, "bpp": each.rate.mean, "bpp_low": each.rate.low,
            "bpp_high": each.rate.high, "seconds_per_mp": each.seconds, "images": answer.images,
            "within": each.keeps(answer.limits), "front": each in answer.front,
            "rank_best": rank.best if rank else None, "rank_worst": rank.worst if rank else None,
            "difference": getattr(rank and rank.difference, "mean", None),
            "low": getattr(rank and rank.difference, "low", None),
            "high": getattr(rank and rank.difference, "high", None), "p_holm": rank.p if rank else None,
        }  # fmt: skip

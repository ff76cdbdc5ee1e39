"""What the numbers of a run can tell apart: ranks with ties, corrected tests, and what lies between RD curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import RescaleBenchError, UsageError
from rescale_bench.machine.printable import plural
from rescale_bench.plots.references import References, reference_curves
from rescale_bench.report.source import ReportSource
from rescale_bench.tables.model import Row, Table, TableCell, TableColumn, scale_cell
from rescale_bench.tables.rows import choose_metrics

if TYPE_CHECKING:
    from rescale_bench.api.registry import Registry
    from rescale_bench.tables.model import Section
    from rescale_bench.tables.ranks import Ranking

SEVERAL, USUAL = 4, ("2", "3", "4")
"""Runs of more than four scales show the usual ones, as their plots do."""
LONG = 40
"""Lines above which tables are folded up; their headings say what was found."""


@dataclass(frozen=True)
class Ranked:
    """The rankings of one data set under one protocol, scales and codecs below each other.

    verdict: in a few words, for the heading.
    """

    name: str
    protocol: str
    verdict: str
    table: Table
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Ranks:
    """All rankings by one metric. problem: why there is none, "" otherwise. explained: what the columns hold."""

    metric: str
    groups: tuple[Ranked, ...]
    explained: tuple[str, ...] = ()
    problem: str = ""

    @property
    def opened(self) -> bool:
        """Whether the tables stand open."""
        return sum(len(group.table.rows) for group in self.groups) <= LONG


@dataclass(frozen=True)
class Gaps:
    """BD-rates. protocol: "" where the run has one. problem: why curves could not be compared, "" otherwise."""

    protocol: str
    table: Table | None
    notes: tuple[str, ...]
    problem: str = ""

    @property
    def opened(self) -> bool:
        """Whether the table stands open."""
        return self.table is None or len(self.table.rows) <= LONG


def chosen_metric(source: ReportSource, wanted: str = "") -> str:
    """Choose what plots and statistics are about: by default the first of psnr_y, psnr_rgb, ssim_y the run holds.

    Raises UnknownNameError for a wanted metric that the run lacks.
    """
    from rescale_bench.tables.leaderboard import PRIMARY

    held = set(source.rows["metric"])
    if wanted:
        return choose_metrics(source.rows, [wanted])[0]
    return next((name for name in PRIMARY if name in held), PRIMARY[0])


def rank_groups(source: ReportSource, metric: str) -> Ranks:
    """Rank the methods of a run by one metric, per protocol, data set, codec and scale."""
    from rescale_bench.tables.ranks import EXPLAINED, rank_methods

    shown, passed, count = _shown_scales(source), [], source.rows["scale"].nunique()
    if len(shown) < count:
        listed = ", ".join(f"×{scale}" for scale in shown)
        passed.append(f"Shown: {listed} of {count} scales; rescale-bench table --rank prints them all.")
    try:
        frame = source.frame
        rankings = rank_methods(frame[frame["scale"].astype(str).isin(shown)], [metric])
    except UsageError as error:
        return Ranks(metric, (), problem=str(error))
    members: dict[tuple[str, str, str], list[Ranking]] = {}
    for one in rankings:
        members.setdefault((one.group.protocol, one.group.protocol_version, one.group.dataset), []).append(one)
    groups = tuple(_ranked(key, found) for key, found in members.items())
    return Ranks(metric, groups, (*EXPLAINED.rstrip(".").split("; "), *passed))


def tails(source: ReportSource, metric: str) -> tuple[Section, ...]:
    """Lay out worst images, percentiles and medians, at the scales that the ranks show; none without that metric."""
    from rescale_bench.tables.tails import tails_board

    if metric not in set(source.rows["metric"]):
        return ()
    shown = _shown_scales(source)
    return tails_board(source.frame[source.frame["scale"].astype(str).isin(shown)], [metric]).sections


def _shown_scales(source: ReportSource) -> list[str]:
    scales = sorted(set(source.rows["scale"]), key=Decimal)
    if len(scales) <= SEVERAL:
        return scales
    return [scale for scale in scales if scale in USUAL] or [scales[0], scales[-1]]


def _ranked(key: tuple[str, str, str], rankings: Sequence[Ranking]) -> Ranked:
    from rescale_bench.tables.ranks import EXPLAINED, rank_board

    protocol, version, dataset = key
    notes = dict.fromkeys(note for section in rank_board(rankings).sections for note in section.notes)
    notes.pop(EXPLAINED)
    verdicts = dict.fromkeys(_verdict(one) for one in rankings)
    name = f"protocol {protocol} version {version}"
    return Ranked(dataset, name, "; ".join(verdicts), _below_each_other(rankings), tuple(notes))


def _below_each_other(rankings: Sequence[Ranking]) -> Table:
    """Join the tables of rankings, codec (where there are several) and scale in columns of their own."""
    from rescale_bench.tables.ranks import rank_table

    tables = [rank_table(ranking) for ranking in rankings]
    columns = max((table.columns for table in tables), key=len)
    several = len({ranking.group.codec for ranking in rankings}) > 1
    rows: list[Row] = []
    for table, ranking in zip(tables, rankings, strict=True):
        codec = ranking.group.codec.replace("quality=", "")
        lead = (*[TableCell(codec)] * several, scale_cell(ranking.group.scale))
        for index, row in enumerate(table.rows):
            cells = dict(zip(table.columns, row.cells, strict=True))
            rest = (cells.get(column, TableCell("")) for column in columns)
            rows.append(dataclasses.replace(row, cells=(*lead, *rest), ruled=bool(rows) and index == 0))
    return Table("", (*[TableColumn("LR as", "text")] * several, TableColumn("scale"), *columns), tuple(rows))


def _verdict(ranking: Ranking) -> str:
    places = [(rank.best, rank.worst) for rank in ranking.ranks]
    count = plural(ranking.images, "image")
    if all(place == (1, len(places)) for place in places):
        return f"not separable on {count}"
    tied = any(best != worst for best, worst in places)
    return f"some methods not separable on {count}" if tied else f"all methods separable on {count}"


def measure_references(
    source: ReportSource,
    registry: Registry,
    reference: str,
    metric: str,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, References]:
    """Measure the HR images as JPEG for the rate-distortion plots, by protocol; kept in the run folder.

    A protocol whose plot cannot be drawn has no entry. tell: called with a line before each measurement.
    """
    found: dict[str, References] = {}
    for protocol in dict.fromkeys(map(str, source.rows["protocol"])):
        options: dict[str, Any] = {"protocol": protocol, "reference": reference, "metrics": [metric]}
        try:
            found[protocol] = reference_curves(source.frame, registry, source.run, tell, **options)
        except UsageError:
            continue  # the plot itself says why it cannot be drawn
    return found


def rate_gaps(
    source: ReportSource, reference: str, metric: str, references: Mapping[str, References]
) -> tuple[Gaps, ...]:
    """Compare the rate-distortion curves of a run by BD-rate and BD-PSNR, protocol by protocol.

    Nothing is said of a protocol in which no method has the four settings of one codec that a curve needs.
    """
    from rescale_bench.plots import bd_rows, bd_table, rate_curves
    from rescale_bench.statistics.bdrate import POINTS

    protocols = list(dict.fromkeys(map(str, source.rows["protocol"])))
    found = []
    for protocol in protocols:
        name = protocol if len(protocols) > 1 else ""
        try:
            curves = rate_curves(source.frame, protocol=protocol, reference=reference, metrics=[metric])
        except UsageError:
            continue
        if not any(len(points) >= POINTS for points in curves.values()):
            continue
        direct = references[protocol].curves if protocol in references else {}
        try:
            rows = bd_rows(curves, reference, direct)
        except RescaleBenchError as error:
            found.append(Gaps(name, None, (), str(error)))
            continue
        if not rows:
            problem = f"The curves have nothing to be compared with: the run lacks {reference}, and JPEG of the HR."
            found.append(Gaps(name, None, (), problem))
            continue
        table, notes = bd_table(rows, metric)
        found.append(Gaps(name, table, notes))
    return tuple(found)

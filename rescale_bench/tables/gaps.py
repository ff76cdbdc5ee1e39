"""Gaps: what each method of a leaderboard lacks to a ceiling, a column of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.statistics.paired import paired_difference
from rescale_bench.tables.leaderboard import PRIMARY
from rescale_bench.tables.model import (
    MISSING,
    Leaderboard,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    difference_cell,
    method_cell,
)
from rescale_bench.tables.scores import Setting, best_first, reference_of

if TYPE_CHECKING:
    from rescale_bench.statistics.paired import PairedDifference
    from rescale_bench.tables.scores import Score

At = Mapping[tuple[Setting, str, str, str], "Score"]
"""(setting, scale, metric, label) → score."""


def with_gaps(board: Leaderboard, ceiling: str) -> Leaderboard:
    """Add a column behind the leading metric: the ceiling minus the method, image by image.

    ceiling: its name with options ("ceiling-jxl:budget=raw"); any method of the run will do. Records get `ceiling`,
    `gap` and its interval. Raises UnknownNameError for a method that the run lacks, UsageError where every table has
    its scales as columns.
    """
    labels = {score.label for score in board.scores}
    top = reference_of(labels, ceiling)
    if top is None:
        raise UnknownNameError("method of this run", ceiling, labels)
    at = {(score.group.setting, score.group.scale, score.metric, score.label): score for score in board.scores}
    sections = tuple(_section(section, top, at) for section in board.sections)
    if sections == board.sections:
        raise UsageError("a table of so many scales has no column for gaps; choose fewer", "ceiling")
    gaps = [_gap(score, at, top) for score in board.scores]
    extra = [{"ceiling": top, **{f"gap{end}": getattr(gap, name, None) for end, name in ENDS}} for gap in gaps]
    return Leaderboard(sections, tuple(a | b for a, b in zip(board.records, extra, strict=True)), board.scores)


ENDS = (("", "mean"), ("_low", "low"), ("_high", "high"))


def _gap(score: Score, at: At, top: str) -> PairedDifference | None:
    base = at.get((score.group.setting, score.group.scale, score.metric, top))
    shared = score.finite.keys() & base.finite.keys() if base is not None and base is not score else ()
    if base is None or not shared or score.whole:
        return None
    theirs, mine = ({image: values[image] for image in shared} for values in (base.finite, score.finite))
    return paired_difference(theirs, mine, score.about.direction)


def gap_table(scores: Sequence[Score], ceiling: str) -> Table:
    """Lay the gaps to a ceiling out as methods under scales, for scores of one metric and setting.

    ceiling: its label. Methods stand by their mean at the scale that most were measured at.
    """
    at = {(one.group.setting, one.group.scale, one.metric, one.label): one for one in scores}
    scales = sorted({one.group.scale for one in scores if one.label == ceiling}, key=Decimal)
    by_scale = {scale: {one.label: one for one in scores if one.group.scale == scale} for scale in scales}
    leading = max(by_scale.values(), key=len)
    head = TableColumn("", metric=scores[0].metric, unit=scores[0].about.unit, decimals=scores[0].about.decimals)
    columns = [dataclasses.replace(head, name=f"×{scale}", scale=scale) for scale in scales]
    labels = best_first({label for members in by_scale.values() for label in members} - {ceiling}, leading)
    rows = []
    for label in labels:
        own = [by_scale[scale].get(label) for scale in scales]
        gaps = [difference_cell(_gap(one, at, ceiling) if one else None, head.decimals) for one in own]
        rows.append(Row((method_cell(label), *gaps), label))
    unit = f" [{head.unit}]" if head.unit else ""
    title = f"{ceiling} minus the method, {head.metric}{unit}"
    return Table(title, (TableColumn("method", "text", priority=0), *columns), tuple(rows))


def _section(section: Section, top: str, at: At) -> Section:
    tables = tuple(_table(table, section.setting, top, at) for table in section.tables)
    if tables == section.tables:
        return section
    note = f"gap: {top} minus the method, mean image by image ± half the paired 95 % t-interval, on identical images."
    return dataclasses.replace(section, tables=tables, notes=(*section.notes, note))


def _table(table: Table, setting: Setting, top: str, at: At) -> Table:
    """Insert the column behind the first metric of PRIMARY; tables without one, and sweeps, stay as they are."""
    places = [place for place, column in enumerate(table.columns) if column.metric in PRIMARY and not column.scale]
    if not places:
        return table
    place, lead = places[0] + 1, table.columns[places[0]]
    gap = TableColumn(
        "gap",
        metric=lead.metric,
        unit=lead.unit,
        decimals=lead.decimals,
        below="to ceiling",
        priority=lead.priority + 1,
    )

    def cell(row: Row) -> TableCell:
        score = at.get((setting, row.scale, lead.metric, row.method))
        if score is None:
            return TableCell(MISSING)
        return TableCell("ceiling", 0) if score.label == top else difference_cell(_gap(score, at, top), lead.decimals)

    rows = (dataclasses.replace(row, cells=(*row.cells[:place], cell(row), *row.cells[place:])) for row in table.rows)
    return dataclasses.replace(table, columns=(*table.columns[:place], gap, *table.columns[place:]), rows=tuple(rows))

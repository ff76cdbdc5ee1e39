"""The leaderboard: methods under metrics, per protocol, data set, codec and scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.statistics.paired import PairedDifference, decimals_for
from rescale_bench.tables.distribution import (
    STALE,
    Distance,
    distance_notes,
    distance_table,
    distances,
    stale_settings,
)
from rescale_bench.tables.layout import (
    INCOMPLETE,
    MISSING,
    NOT_NATIVE,
    Cell,
    Column,
    Leaderboard,
    Mark,
    Section,
    Table,
    number,
)
from rescale_bench.tables.notes import footnotes, incomplete
from rescale_bench.tables.ranking import best_first, marks
from rescale_bench.tables.rows import base_name, choose_metrics, prepare
from rescale_bench.tables.scores import Score, reference_of, scores
from rescale_bench.tables.sweep import Setting, by_setting, heading, matrices, setting_of, title

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.runs.set_values import SetValue

SWEEP = 4
"""More scales than this print as a matrix methods × scales."""
PRIMARY = ("psnr_y", "psnr_rgb", "ssim_y")
"""The first of these that a run holds is compared with the reference method in a column of its own."""


def leaderboard(
    frame: pd.DataFrame,
    reference: str = "bicubic",
    metrics: Sequence[str] | None = None,
    compare: Sequence[str] | None = None,
    set_values: Sequence[SetValue] = (),
) -> Leaderboard:
    """Average a run's tidy rows and lay them out.

    reference: the method that paired differences are taken to (its label where several share its name).
    metrics: shown, in that order; all by default. compare: metrics with a column of differences.
    set_values: of whole data sets, as read beside the run; they get a table of their own.
    Raises UsageError when there are no rows, UnknownNameError for metrics that the run lacks.
    """
    rows = prepare(frame)
    stale = stale_settings(rows, set_values)
    apart = distances(rows, [one for one in set_values if metrics is None or one.metric in metrics])
    of_sets = {one.metric for one in set_values}
    of_images = None if metrics is None else [name for name in metrics if name not in of_sets]
    alone = of_images == []
    names = choose_metrics(rows, of_images or None)
    rows = rows[rows["metric"].isin(names)]
    compared = choose_metrics(rows, compare) if compare is not None else _primary(names)
    found = scores(rows, reference)
    sections = tuple(
        _with_sets(_section(members, names, compared, reference), setting, apart, stale, alone)
        for setting, members in by_setting(found).items()
    )
    return Leaderboard(sections, tuple(found), reference, apart, alone)


def _with_sets(
    section: Section, setting: Setting, apart: Sequence[Distance], stale: Collection[Setting], alone: bool
) -> Section:
    """Add the values of the whole data set. stale: where some are of other cells. alone: nothing else was asked for."""
    mine = [one for one in apart if setting_of(one.group) == setting]
    tables = (distance_table(mine),) if mine else ()
    notes = (*distance_notes(mine), *((STALE,) if setting in stale else ()))
    if alone:
        return Section(section.title, tables, notes)
    return dataclasses.replace(section, tables=(*section.tables, *tables), notes=(*section.notes, *notes))


def _primary(names: Sequence[str]) -> list[str]:
    for wanted in PRIMARY:
        if wanted in names:
            return [wanted]
    return list(names[:1])


def _section(members: Sequence[Score], names: Sequence[str], compared: Sequence[str], reference: str) -> Section:
    heads = title(by_setting(members).popitem()[0])
    empty = [name for name in names if _undefined_throughout(members, name)]
    if len(empty) < len(names):
        members = [score for score in members if score.metric not in empty]
    section = _filled(heads, members, [name for name in names if name not in empty] or names, compared, reference)
    note = f"Undefined for every image and left out: {', '.join(empty)}."
    return dataclasses.replace(section, notes=(*section.notes, note)) if empty else section


def _undefined_throughout(members: Sequence[Score], metric: str) -> bool:
    mine = [score for score in members if score.metric == metric]
    return bool(mine) and all(score.count("undefined") == score.images for score in mine)


def _filled(
    heads: str, members: Sequence[Score], names: Sequence[str], compared: Sequence[str], reference: str
) -> Section:
    scales = {score.group.scale for score in members}
    if len(scales) > SWEEP:
        tables = matrices(members, [name for name in names if _swept(members, name)] or names)
        return Section(heads, tables, footnotes(members, ranked=_marked(tables)))
    against = reference_of({score.label for score in members}, reference)
    shown = [name for name in names if any(score.metric == name for score in members)]
    table = _table(members, shown, [name for name in compared if name in shown and against], against)
    return Section(heads, (table,), footnotes(members, against, compared, table.marked) + _pooled_note(members))


def _swept(members: Sequence[Score], metric: str) -> bool:
    return any(score.metric == metric and score.about.direction != "none" for score in members)


def _marked(tables: Sequence[Table]) -> bool:
    return any(table.marked for table in tables)


def _pooled_note(members: Sequence[Score]) -> tuple[str, ...]:
    if any(_pooled(score) for score in members):
        return ("pooled: all bits of the data set divided by all its pixels; the column before it averages images.",)
    return ()


def _pooled(score: Score) -> bool:
    return score.about.pool != "mean"


def _table(members: Sequence[Score], names: Sequence[str], compared: Sequence[str], against: str | None) -> Table:
    at = {(score.group.scale, score.label, score.metric): score for score in members}
    labels = {score.label for score in members}
    heads = {score.metric: score for score in members}
    columns = [Column("scale"), Column("method", numeric=False), Column("images")]
    for name in names:
        columns.extend(_columns(heads[name], name in compared, against))
    rows: list[tuple[Cell, ...]] = []
    rules = set()
    for scale in sorted({score.group.scale for score in members}, key=Decimal):
        rules.add(len(rows))
        leading = {label: at[scale, label, names[0]] for label in labels if (scale, label, names[0]) in at}
        marked = {
            name: marks({one: at[scale, one, name] for one in labels if (scale, one, name) in at}) for name in names
        }
        for label in best_first(labels, leading):
            mine = {name: at.get((scale, label, name)) for name in names}
            cells = _lead(scale, label, [score for score in mine.values() if score])
            for name in names:
                cells.extend(_cells(mine[name], heads[name], marked[name].get(label, ""), name in compared, against))
            rows.append(tuple(cells))
    return Table("", tuple(columns), tuple(rows), frozenset(rules - {0}))


def _columns(head: Score, compared: bool, against: str | None) -> list[Column]:
    columns = [Column(heading(head))]
    if compared:
        columns.append(
            Column(f"Δ vs {against}" if base_name(head.metric) == "psnr_y" else f"Δ {head.metric} vs {against}")
        )
    if _pooled(head):
        columns.append(Column("pooled"))
    return columns


def _lead(scale: str, label: str, mine: Sequence[Score]) -> list[Cell]:
    name = f"{label} (ceiling)" if any(score.ceiling for score in mine) else label
    sign = NOT_NATIVE if any(not score.native for score in mine) else ""
    return [Cell(f"×{scale}"), Cell(name, signs=sign), Cell(_images(mine))]


def _images(mine: Sequence[Score]) -> str:
    """Count the images on which the method ran, of all, and the failed ones: "5", "3/5 (2 failed)"."""
    if not mine:
        return MISSING
    images, failed = mine[0].images, max(score.count("failed") for score in mine)
    measured = images - max(score.count("failed") + score.missing for score in mine)
    count = str(images) if measured == images else f"{measured}/{images}"
    return f"{count} ({failed} failed)" if failed else count


def _cells(score: Score | None, head: Score, mark: Mark, compared: bool, against: str | None) -> list[Cell]:
    if score is None:
        return [Cell(MISSING)] * (1 + compared + _pooled(head))
    sign = INCOMPLETE if score.mean is not None and incomplete(score) else ""
    cells = [Cell(number(score.mean, score.about.decimals), mark, sign)]
    if compared:
        cells.append(Cell("reference" if score.label == against else delta(score.difference, score.about.decimals)))
    if _pooled(head):
        cells.append(Cell(number(score.pooled, score.about.decimals)))
    return cells


def delta(difference: PairedDifference | None, decimals: int) -> str:
    """Print a paired difference, "+0.52 ± 0.31", with one digit beyond that of its half-width."""
    if difference is None:
        return MISSING
    digits = decimals_for(difference.half_width, decimals)
    text = f"{difference.mean:+.{digits}f}"
    return f"{text} ± {difference.half_width:.{digits}f}" if difference.n > 1 else f"{text} (n = 1)"

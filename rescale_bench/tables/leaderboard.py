"""The leaderboard: methods under metrics, per protocol, data set, codec and scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.machine.memory import few_collections
from rescale_bench.runs.sets import image_sets
from rescale_bench.tables.collecting import PIXELS, scores
from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    NOT_NATIVE,
    LateRecords,
    Leaderboard,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    difference_cell,
    marked,
    method_cell,
    number_cell,
    scale_cell,
)
from rescale_bench.tables.notes import footnotes, incomplete, set_notes
from rescale_bench.tables.rows import base_name, choose_metrics, prepare
from rescale_bench.tables.scores import Score, Setting, best_first, by_setting, name_of, reference_of, score_record
from rescale_bench.tables.sweep import matrices, metric_column

if TYPE_CHECKING:
    import pandas as pd

SWEEP = 4
"""More scales than this print as a matrix methods × scales."""
PRIMARY = ("psnr_y", "psnr_rgb", "ssim_y")
"""The first of these that a run holds is compared with the reference method in a column of its own."""
LEADING = ("psnr_y", "ssim_y", "bpp", "seconds_up")
"""Where not all columns fit, the first metric of the table stays, with its differences, then these, then the others."""
TITLE = "Whole data sets"
STALE = "Some values of whole data sets are missing or of other cells: run `rescale-bench distribution` again."


@few_collections()
def leaderboard(
    frame: pd.DataFrame,
    reference: str = "bicubic",
    metrics: Sequence[str] | None = None,
    compare: Sequence[str] | None = None,
) -> Leaderboard:
    """Average a run's tidy rows and lay them out; values of whole data sets get a table of their own.

    reference: the method that paired differences are taken to (its label where several share its name).
    metrics: shown, in that order; all by default. compare: metrics with a column of differences.
    Raises UsageError when there are no rows, UnknownNameError for metrics that the run lacks.
    """
    rows = prepare(frame, sets=True)
    of_sets = frame[frame["image"] == ""]
    of_images = rows[rows["image"] != ""] if len(of_sets) else rows
    gone = set(of_sets["metric"].unique()) - set(rows["metric"].unique())
    names = choose_metrics(rows, None if metrics is None else [name for name in metrics if name not in gone])
    if metrics is not None:
        rows = rows[rows["metric"].isin(names)]
    measured = set(of_images["metric"].unique())
    plain = [name for name in names if name in measured]
    compared = choose_metrics(rows, compare) if compare is not None else _primary(plain)
    found = scores(rows, reference)
    members = by_setting(found)
    stale = _stale(of_images, of_sets) if metrics is None or len(plain) < len(metrics) else ()
    sections = tuple(
        _section(setting, members.get(setting, ()), names, compared, reference, setting in stale)
        for setting in dict.fromkeys((*members, *stale))
    )
    records = LateRecords(lambda: (score_record(score, reference) for score in found))
    return Leaderboard(sections, records, tuple(found))


def _stale(of_images: pd.DataFrame, of_sets: pd.DataFrame) -> frozenset[Setting]:
    """Find the settings with a set of images that has no value, where others of the run were measured."""
    if of_sets.empty:
        return frozenset()
    digests = set(of_sets["cell"])
    missing = (one for one in image_sets(of_images) if one.digest not in digests)
    return frozenset(Setting(*(str(one.shared[field.name]) for field in fields(Setting))) for one in missing)


def _primary(names: Sequence[str]) -> list[str]:
    for wanted in PRIMARY:
        if wanted in names:
            return [wanted]
    return list(names[:1])


def _section(
    setting: Setting,
    members: Sequence[Score],
    names: Sequence[str],
    compared: Sequence[str],
    reference: str,
    stale: bool,
) -> Section:
    """Lay out one setting: the means over images, then the values of the whole data set."""
    wholes = [score for score in members if score.whole]
    means = [score for score in members if not score.whole]
    held = {score.metric for score in means}
    names_of_means = [name for name in names if name in held]
    section = _means(setting, means, names_of_means, compared, reference) if means else Section(setting, ())
    notes = (*section.notes, *set_notes(wholes), *[STALE] * stale)
    return Section(setting, (*section.tables, *_set_tables(wholes, names)), tuple(dict.fromkeys(notes)))


def _set_tables(wholes: Sequence[Score], names: Sequence[str]) -> tuple[Table, ...]:
    if len({score.group.scale for score in wholes}) > SWEEP:
        return matrices(wholes, names)
    by_metric = {score.metric: score for score in wholes}
    heads = [by_metric[name] for name in names if name in by_metric]
    return (dataclasses.replace(_table(wholes, heads, (), None), title=TITLE),) if heads else ()


def _means(
    setting: Setting, members: Sequence[Score], names: Sequence[str], compared: Sequence[str], reference: str
) -> Section:
    empty = [name for name in names if _undefined_throughout(members, name)]
    if len(empty) < len(names):
        members = [score for score in members if score.metric not in empty]
    section = _filled(setting, members, [name for name in names if name not in empty] or names, compared, reference)
    note = f"Undefined for every image and left out: {', '.join(empty)}."
    return dataclasses.replace(section, notes=(*section.notes, note)) if empty else section


def _undefined_throughout(members: Sequence[Score], metric: str) -> bool:
    mine = [score for score in members if score.metric == metric]
    return bool(mine) and all(score.count("undefined") == score.images for score in mine)


def _filled(
    setting: Setting, members: Sequence[Score], names: Sequence[str], compared: Sequence[str], reference: str
) -> Section:
    if len({score.group.scale for score in members}) > SWEEP:
        directed = {score.metric for score in members if score.about.direction != "none"}
        tables = matrices(members, [name for name in names if name in directed] or names)
        return Section(setting, tables, footnotes(members, ranked=any(table.marked for table in tables)))
    against = reference_of({score.label for score in members}, reference)
    heads = {score.metric: score for score in members}
    shown = [heads[name] for name in names if name in heads]
    table = _table(members, shown, [name for name in compared if name in heads and against], against)
    notes = footnotes(members, against, compared, table.marked)
    if any(_pooled(score) for score in members):
        notes += ("pooled: all bits of the data set divided by all its pixels; the column before it averages images.",)
    if sums := dict.fromkeys(score.metric for score in members if score.about.pool == "sum"):
        notes += (f"{', '.join(sums)}: the sum over the images.",)
    return Section(setting, (table,), notes)


def _pooled(score: Score) -> bool:
    return score.about.pool in PIXELS


def _table(members: Sequence[Score], heads: Sequence[Score], compared: Sequence[str], against: str | None) -> Table:
    """Lay scores out, scale by scale. heads: one score of each metric. against: label of the reference method."""
    at = {(score.group.scale, score.label, score.metric): score for score in members}
    trained = {score.label: score.trained for score in members}
    columns = [
        TableColumn("scale", priority=0),
        TableColumn("method", "text", priority=0),
        TableColumn("images", priority=500),
    ]
    for place, head in enumerate(heads):
        columns.extend(_columns(head, head.metric in compared, against, _priority(head.metric, place)))
    rows: list[Row] = []
    for scale in sorted({score.group.scale for score in members}, key=Decimal):
        leading = {
            label: at[scale, label, heads[0].metric] for label in trained if (scale, label, heads[0].metric) in at
        }
        for place, label in enumerate(best_first(_asked_for(trained, scale, at), leading)):
            mine = [at.get((scale, label, head.metric)) for head in heads]
            cells = _lead(scale, label, [score for score in mine if score])
            for head, score in zip(heads, mine, strict=True):
                cells.extend(_cells(score, head, head.metric in compared, against))
            rows.append(Row(tuple(cells), label, scale, trained[label], ruled=bool(rows) and place == 0))
    return marked(Table("", tuple(columns), tuple(rows)))


def _asked_for(labels: Iterable[str], scale: str, at: Iterable[tuple[str, str, str]]) -> list[str]:
    """Leave out a method whose other weights serve the scale: nobody asked for these there."""
    here = {label for each, label, _ in at if each == scale}
    served = {name_of(label) for label in here}
    return [label for label in labels if label in here or name_of(label) not in served]


def _columns(head: Score, compared: bool, against: str | None, priority: int) -> list[TableColumn]:
    columns = [dataclasses.replace(metric_column(head), priority=priority)]
    if compared:
        name = f"Δ vs {against}" if base_name(head.metric) == "psnr_y" else f"Δ {head.metric} vs {against}"
        columns.append(dataclasses.replace(columns[0], name=name, kind="difference", priority=priority + 1))
    if _pooled(head):
        columns.append(TableColumn("pooled", metric=head.metric, decimals=head.about.decimals, priority=900 + priority))
    return columns


def _priority(metric: str, place: int) -> int:
    """Rank a metric's columns where not all fit. place: among the metrics of the table."""
    base = base_name(metric)
    return 1 if place == 0 else 10 * (1 + LEADING.index(base)) if base in LEADING else 100 + place


def _lead(scale: str, label: str, mine: Sequence[Score]) -> list[TableCell]:
    remark = " (ceiling)" if any(score.ceiling for score in mine) and "ceiling" not in label else ""
    sign = NOT_NATIVE if any(not score.native for score in mine) else ""
    return [scale_cell(scale), method_cell(label, sign, remark), _images(mine)]


def _images(mine: Sequence[Score]) -> TableCell:
    """Count the images on which the method ran, of all, and the failed ones: "5", "3/5 (2 failed)"."""
    if not mine:
        return TableCell(MISSING)
    images, failed = mine[0].images, max(score.count("failed") for score in mine)
    measured = images - max(score.count("failed") + score.missing for score in mine)
    count = str(images) if measured == images else f"{measured}/{images}"
    return TableCell(f"{count} ({failed} failed)" if failed else count, measured)


def _cells(score: Score | None, head: Score, compared: bool, against: str | None) -> list[TableCell]:
    if score is None:
        return [TableCell(MISSING)] * (1 + compared + _pooled(head))
    decimals = score.about.decimals
    sign = INCOMPLETE if score.mean is not None and incomplete(score) else ""
    cells = [number_cell(score.mean, decimals, score.ranked, sign)]
    if compared:
        same = score.label == against
        cells.append(TableCell("reference", 0) if same else difference_cell(score.difference, decimals))
    if _pooled(head):
        cells.append(number_cell(score.pooled, decimals))
    return cells

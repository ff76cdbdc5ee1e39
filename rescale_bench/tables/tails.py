"""More than a mean: the worst image, a low percentile, the median, and the image that moves the mean most."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from rescale_bench.statistics.paired import Direction
from rescale_bench.tables.collecting import scores
from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    NOT_NATIVE,
    LateRecords,
    Leaderboard,
    Record,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    method_cell,
    number,
    number_cell,
    scale_cell,
    signed,
)
from rescale_bench.tables.notes import footnotes, incomplete
from rescale_bench.tables.ranks import primary_metrics
from rescale_bench.tables.rows import choose_metrics, prepare
from rescale_bench.tables.scores import Score, Setting, best_first, by_setting
from rescale_bench.tables.sweep import metric_column

if TYPE_CHECKING:
    import pandas as pd

TAIL = 0.05
EXPLAINED = (
    "percentile: by linear interpolation between the images' values, so on few images it lies near the worst; "
    "moves the mean: the mean less the mean without the image that changes it most, which is named beside it."
)


@dataclass(frozen=True)
class Tails:
    """How the values of one method spread over the images; infinite and undefined ones stand outside.

    tail: the percentile on the bad side, the 5th, or the 95th where smaller is better. worst, moving: image and value;
    moving: the image without which the mean changes most, and mean − mean without it, None for a single image.
    worst is None where the metric has no better side.
    """

    mean: float
    median: float
    tail: float
    worst: tuple[str, float] | None
    moving: tuple[str, float] | None


def tails_of(values: Mapping[str, float], direction: Direction = "up") -> Tails:
    """Describe image → value; at least one image, all finite. Of equal images the first by name counts."""
    names = sorted(values)
    ordered = sorted(values.values())
    mean, count = math.fsum(ordered) / len(ordered), len(ordered)
    share = 1 - TAIL if direction == "down" else TAIL
    worst = None
    if direction != "none":
        name = (max if direction == "down" else min)(names, key=values.__getitem__)
        worst = name, values[name]
    moving = None
    if count > 1:  # mean − mean without i = (xᵢ − mean) / (n − 1)
        # Of two images both are equally far; the last digits, which are rounding, must not decide.
        name = max(names, key=lambda each: float(f"{abs(values[each] - mean):.12g}"))
        moving = name, (values[name] - mean) / (count - 1)
    return Tails(mean, median(ordered), float(np.quantile(ordered, share)), worst, moving)


def tails_board(frame: pd.DataFrame, metrics: Sequence[str] | None = None) -> Leaderboard:
    """Lay out the spread over images, one table per protocol, data set, codec and metric.

    metrics: by default the first of psnr_y, psnr_rgb, ssim_y that the run holds. Raises UsageError when there are no
    rows or none of these, UnknownNameError for metrics that the run lacks.
    """
    rows = prepare(frame)
    names = choose_metrics(rows, metrics or primary_metrics(rows))
    found = scores(rows[rows["metric"].isin(names)], "")
    sections = tuple(_section(setting, members, names) for setting, members in by_setting(found).items())
    return Leaderboard(sections, LateRecords(lambda: map(_record, found)), tuple(found))


def _section(setting: Setting, members: Sequence[Score], names: Sequence[str]) -> Section:
    by_metric = [[score for score in members if score.metric == name] for name in names]
    tables = tuple(tails_table(mine) for mine in by_metric if mine)
    return Section(setting, tables, (EXPLAINED, *footnotes(members, ranked=False)))


def tails_table(members: Sequence[Score]) -> Table:
    """Lay one metric out, scale by scale, best mean first."""
    about = members[0].about
    falling = about.direction == "down"
    columns = (
        TableColumn("scale", priority=0),
        TableColumn("method", "text", priority=0),
        TableColumn("images", priority=7),
        dataclasses.replace(metric_column(members[0]), priority=1),
        TableColumn("median", priority=4),
        TableColumn("95th percentile" if falling else "5th percentile", priority=3),
        TableColumn("worst", priority=2),
        TableColumn("worst image", "text", priority=5),
        TableColumn("moves the mean", "difference", priority=6),
        TableColumn("moving image", "text", priority=6),
    )
    rows: list[Row] = []
    for scale in sorted({score.group.scale for score in members}, key=Decimal):
        here = {score.label: score for score in members if score.group.scale == scale}
        for place, label in enumerate(best_first(here, here)):
            cells = tuple(_cells(here[label], scale, about.decimals))
            rows.append(Row(cells, label, scale, here[label].trained, ruled=bool(rows) and place == 0))
    return Table("", columns, tuple(rows))


def _cells(score: Score, scale: str, decimals: int) -> Iterator[TableCell]:
    yield scale_cell(scale)
    yield method_cell(score.label, "" if score.native else NOT_NATIVE, " (ceiling)" if score.ceiling else "")
    yield TableCell(str(len(score.finite)), len(score.finite))
    if not score.finite:
        yield number_cell(score.mean, decimals)
        yield from [TableCell(MISSING)] * 6
        return
    found = tails_of(score.finite.by_name, score.about.direction)
    yield number_cell(found.mean, decimals, signs=INCOMPLETE if incomplete(score) else "")
    yield number_cell(found.median, decimals)
    yield number_cell(found.tail, decimals)
    yield from _named(found.worst, number(found.worst[1], decimals) if found.worst else MISSING)
    yield from _named(found.moving, signed(found.moving[1], decimals) if found.moving else MISSING)


def _named(found: tuple[str, float] | None, text: str) -> tuple[TableCell, TableCell]:
    return TableCell(text, found and found[1]), TableCell(found[0] if found else MISSING)


def _record(score: Score) -> Record:
    found = tails_of(score.finite.by_name, score.about.direction) if score.finite else None
    worst, moving = (found.worst, found.moving) if found else (None, None)
    return {
        **dataclasses.asdict(score.group), "method": score.label, "metric": score.metric,
        "direction": score.about.direction, "images": score.images, "finite": len(score.finite),
        "infinite": score.count("infinite"), "undefined": score.count("undefined"), "failed": score.count("failed"),
        "missing": score.missing, "mean": score.mean, "median": found.median if found else None,
        "tail_percentile": 100 * (1 - TAIL if score.about.direction == "down" else TAIL),
        "tail": found.tail if found else None,
        "worst": worst[1] if worst else None, "worst_image": worst[0] if worst else "",
        "moves_mean": moving[1] if moving else None, "moving_image": moving[0] if moving else "",
    }  # fmt: skip

"""Scale sweeps: one metric as a matrix of methods × scales."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    NOT_NATIVE,
    Row,
    Table,
    TableCell,
    TableColumn,
    marked,
    method_cell,
    number_cell,
)
from rescale_bench.tables.notes import incomplete
from rescale_bench.tables.scores import Score, best_first

WIDTH = 10
"""Scales side by side at most; longer sweeps go on in further tables of about the same width."""


def matrices(scores: Sequence[Score], metrics: Sequence[str]) -> tuple[Table, ...]:
    """Lay each metric out as one table, or several where the scales do not fit side by side."""
    tables: list[Table] = []
    for metric in metrics:
        mine = [score for score in scores if score.metric == metric]
        if not mine:
            continue
        scales = sorted({score.group.scale for score in mine}, key=Decimal)
        at = {(score.label, score.group.scale): score for score in mine}
        served = {score.label: score for score in mine}
        order = [(label, served[label].trained) for label in _order(mine)]
        width = math.ceil(len(scales) / math.ceil(len(scales) / WIDTH))
        tables.extend(_matrix(at, scales[start : start + width], order) for start in range(0, len(scales), width))
    return tuple(tables)


def _order(scores: Sequence[Score]) -> list[str]:
    """Order methods by their score at the smallest scale that most of them serve."""
    served: dict[str, dict[str, Score]] = {}
    for score in scores:
        served.setdefault(score.group.scale, {})[score.label] = score
    leading = max(sorted(served, key=Decimal), key=lambda scale: len(served[scale]))
    return best_first({score.label for score in scores}, served[leading])


def _matrix(at: Mapping[tuple[str, str], Score], scales: Sequence[str], order: Sequence[tuple[str, bool]]) -> Table:
    """Lay some scales side by side. order: the methods' labels, and whether their weights are trained."""
    first = next(iter(at.values()))
    rows = [
        Row((method_cell(label), *(_cell(at.get((label, scale))) for scale in scales)), label, "", trained)
        for label, trained in order
    ]
    columns = (TableColumn("method", "text", priority=0), *(metric_column(first, scale) for scale in scales))
    return marked(Table(metric_column(first).heading, columns, tuple(rows)))


def _cell(score: Score | None) -> TableCell:
    if score is None or score.mean is None:
        return TableCell(MISSING)
    signs = (NOT_NATIVE if not score.native else "") + (INCOMPLETE if incomplete(score) else "")
    return number_cell(score.mean, score.about.decimals, score.ranked, signs)


def metric_column(score: Score, scale: str = "") -> TableColumn:
    """Make the column of a score's metric, in a sweep of one of its scales."""
    about, name = score.about, f"×{scale}" if scale else score.metric
    return TableColumn(name, "number", score.metric, about.direction, about.unit, about.decimals, scale)

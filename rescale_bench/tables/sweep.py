"""Scale sweeps: one metric as a matrix of methods × scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.tables.layout import INCOMPLETE, MISSING, NOT_NATIVE, Cell, Column, Section, Table, number
from rescale_bench.tables.notes import footnotes, incomplete
from rescale_bench.tables.ranking import best_first, marks
from rescale_bench.tables.scores import Group, Score

if TYPE_CHECKING:
    import pandas as pd

WIDTH = 10
"""Scales side by side; longer sweeps go on in a further table."""
Setting = tuple[str, str, str, str]


def sweep_matrix(frame: pd.DataFrame, metric: str = "psnr_y") -> tuple[Section, ...]:
    """Lay one metric out as methods × scales, one section per protocol, data set and codec.

    frame: tidy rows. Raises UnknownNameError when the run lacks the metric, UsageError when it has no rows.
    """
    from rescale_bench.tables.rows import choose_metrics, prepare
    from rescale_bench.tables.scores import scores

    rows = prepare(frame)
    names = choose_metrics(rows, [metric])
    found = scores(rows[rows["metric"].isin(names)], reference="")
    return tuple(
        Section(title(setting), matrices(members, names), footnotes(members))
        for setting, members in by_setting(found).items()
    )


def by_setting(scores: Iterable[Score]) -> dict[Setting, list[Score]]:
    """Split scores by protocol, its version, data set and codec."""
    found: dict[Setting, list[Score]] = {}
    for score in scores:
        found.setdefault(setting_of(score.group), []).append(score)
    return found


def setting_of(group: Group) -> Setting:
    """Give what a section has in common."""
    return group.protocol, group.protocol_version, group.dataset, group.codec


def title(setting: Setting) -> str:
    """Name a section: "Set5 · protocol rgb8 version 1 · codec jpeg:quality=90"."""
    protocol, version, dataset, codec = setting
    parts = [dataset]
    if protocol:
        parts.append(f"protocol {protocol}" + (f" version {version}" if version else ""))
    if codec not in ("", "none"):
        parts.append(f"codec {codec}")
    return " · ".join(parts)


def matrices(scores: Sequence[Score], metrics: Sequence[str]) -> tuple[Table, ...]:
    """Lay each metric out as one table, or several where the scales do not fit side by side."""
    tables: list[Table] = []
    for metric in metrics:
        mine = [score for score in scores if score.metric == metric]
        if not mine:
            continue
        scales = sorted({score.group.scale for score in mine}, key=Decimal)
        order = _order(mine)
        tables.extend(_matrix(mine, scales[start : start + WIDTH], order) for start in range(0, len(scales), WIDTH))
    return tuple(tables)


def _order(scores: Sequence[Score]) -> list[str]:
    """Order methods by their score at the smallest scale that most of them serve."""
    served: dict[str, dict[str, Score]] = {}
    for score in scores:
        served.setdefault(score.group.scale, {})[score.label] = score
    leading = max(sorted(served, key=Decimal), key=lambda scale: len(served[scale]))
    return best_first({score.label for score in scores}, served[leading])


def _matrix(scores: Sequence[Score], scales: Sequence[str], order: Sequence[str]) -> Table:
    at = {(score.label, score.group.scale): score for score in scores if score.group.scale in scales}
    marked = {
        (name, scale): mark
        for scale in scales
        for name, mark in marks({name: at[name, scale] for name in order if (name, scale) in at}).items()
    }
    about = scores[0].about
    rows = []
    for name in order:
        cells = [Cell(name)]
        for scale in scales:
            score = at.get((name, scale))
            text = number(score.mean, about.decimals) if score else MISSING
            cells.append(Cell(text, marked.get((name, scale), ""), _signs(score)))
        rows.append(tuple(cells))
    columns = (Column("method", numeric=False), *(Column(f"×{scale}") for scale in scales))
    return Table(heading(scores[0]), columns, tuple(rows))


def _signs(score: Score | None) -> str:
    if score is None or score.mean is None:
        return ""
    return (NOT_NATIVE if not score.native else "") + (INCOMPLETE if incomplete(score) else "")


def heading(score: Score) -> str:
    """Head a metric's column with its direction and unit: "psnr_y ↑ [dB]"."""
    arrow = {"up": " ↑", "down": " ↓", "none": ""}[score.about.direction]
    return score.metric + arrow + (f" [{score.about.unit}]" if score.about.unit else "")

"""Quality over scale: one line per method, with the paired interval to the reference as a band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.machine.printable import plural
from rescale_bench.plots.compose import Drawn, Panel, Plan
from rescale_bench.plots.filters import Options, Selection, axis_title, left_out, usable
from rescale_bench.plots.labels import Anchor
from rescale_bench.plots.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rescale_bench.tables.scores import Score

TICKS = 9
"""Up to this many measured scales get a tick each."""


def plan_scale(selection: Selection, options: Options) -> Plan:
    """Plan rows of metrics × columns of data sets; a single row or column is broken after three panels."""
    metrics = selection.metrics(options.metrics)
    drawn = [score for score in selection.scores if score.metric in metrics]
    looks = _best_first(selection.looks(drawn), drawn, selection)
    panels = [
        Panel(
            panel_title(selection.at(metric, dataset)),
            partial(_draw, selection.at(metric, dataset), selection, looks, options.relative),
        )
        for metric in metrics
        for dataset in selection.datasets
        if selection.at(metric, dataset)
    ]
    columns = len(selection.datasets) if len(metrics) > 1 else 3
    return Plan(
        title=f"{selection.title(metrics)} over scale"
        + (f", relative to {selection.reference}" if options.relative else ""),
        subtitle=selection.subtitle,
        panels=panels,
        columns=min(columns, 3),
        notes=[*_notes(drawn, selection), *left_out(drawn, selection)],
        styles=looks,
    )


def _best_first(looks: Mapping[str, Style], drawn: Sequence[Score], selection: Selection) -> dict[str, Style]:
    """Order the legend as the lines stand, by each one's best mean of the first metric."""
    sign = -1 if drawn[0].about.direction == "down" else 1
    tops: dict[str, float] = {}
    for score in drawn:
        y = height_of(score, relative=False)
        if score.metric == drawn[0].metric and y is not None:
            name = selection.name(score)
            tops[name] = max(tops.get(name, -math.inf), sign * y)
    return {name: looks[name] for name in sorted(looks, key=lambda name: (-tops.get(name, -math.inf), name))}


def panel_title(found: Sequence[Score], scale: str = "") -> str:
    """Head a panel with data set, scale and number of images."""
    count = max(score.images for score in found)
    return f"{found[0].group.dataset}{f' ×{scale}' if scale else ''} · {plural(count, 'image')}"


def _notes(drawn: Sequence[Score], selection: Selection) -> list[str]:
    notes = []
    if any(banded(score) for score in drawn):
        shape = "Bands" if len({score.group.scale for score in drawn}) > 1 else "Bars"
        notes.append(
            f"{shape}: 95 % paired t-interval of the difference to {selection.reference}, on identical images; "
            "where those of two methods overlap, compare the two directly (table --rank)."
        )
    return notes + native_note(drawn)


def native_note(drawn: Sequence[Score]) -> list[str]:
    """Explain hollow markers where there are any."""
    if all(score.native for score in drawn):
        return []
    return ["Hollow: the scale is not native to the method (a wrapper or a model of another scale serves it)."]


def banded(score: Score) -> bool:
    """Tell whether a score has a paired interval over all of its images, to be drawn: a ceiling is a line alone."""
    found = score.difference
    return found is not None and not score.ceiling and found.n == len(score.finite) and math.isfinite(found.half_width)


def height_of(score: Score, relative: bool) -> float | None:
    """Give the y of a score: its mean or its mean difference to the reference; None where it has none."""
    if not usable(score) or score.mean is None or not math.isfinite(score.mean):
        return None
    if not relative:
        return score.mean
    return score.difference.mean if score.difference is not None and score.difference.n == len(score.finite) else None


def _draw(
    found: Sequence[Score], selection: Selection, looks: Mapping[str, Style], relative: bool, axes: Axes
) -> Drawn:
    lines: dict[str, list[Score]] = {}
    for score in sorted(found, key=lambda one: Decimal(one.group.scale)):
        if height_of(score, relative) is not None:
            lines.setdefault(selection.name(score), []).append(score)
    if relative:
        axes.axhline(0, color="black", linewidth=1.0, zorder=1.5)
    anchors = []
    for name, line in lines.items():
        points = [(float(score.group.scale), height_of(score, relative) or 0.0) for score in line]
        _line(axes, line, points, looks[name])
        anchors.append(Anchor(*points[-1], name, looks[name]))
    _limits(axes, lines, relative)
    scales = sorted({Decimal(score.group.scale) for score in found})
    if len(scales) <= TICKS:
        axes.set_xticks([float(scale) for scale in scales])
    axes.xaxis.set_major_formatter(lambda value, _: f"×{value:g}")
    axes.set_xlabel("scale factor")
    axes.set_ylabel(axis_title(found[0], relative, selection.reference or ""))
    last, reach = float(scales[-1]), 0.15 * float(scales[-1] - scales[0])
    # At a single scale there is no line to lead to: names stand beside their points.
    early = anchors if len(scales) == 1 else [anchor for anchor in anchors if last - anchor.x > reach]
    return Drawn(early, [anchor for anchor in anchors if anchor not in early])


def _line(axes: Axes, line: Sequence[Score], points: Sequence[tuple[float, float]], style: Style) -> None:
    x, y = zip(*points, strict=True)
    if line[0].ceiling and len(points) == 1:
        axes.axhline(y[0], color=style.colour, linestyle=style.line, zorder=2)
    axes.plot(x, y, color=style.colour, linestyle=style.line, zorder=3)
    for native in (True, False):
        spots = [point for point, score in zip(points, line, strict=True) if score.native == native]
        if spots:
            fill = style.colour if native else "white"
            axes.plot(
                *zip(*spots, strict=True), color=style.colour, marker=style.marker, linestyle="",
                markerfacecolor=fill, markeredgewidth=1.0, zorder=3.5,
            )  # fmt: skip
    width = [score.difference.half_width if banded(score) and score.difference else 0.0 for score in line]
    if any(width):
        low = [value - half for value, half in zip(y, width, strict=True)]
        high = [value + half for value, half in zip(y, width, strict=True)]
        if len(points) == 1:
            axes.vlines(x, low, high, color=style.colour, linewidth=1.2, zorder=2)
        axes.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0, zorder=1)


def _limits(axes: Axes, lines: Mapping[str, Sequence[Score]], relative: bool) -> None:
    """Let the means fix the y axis; wide intervals of few images may add no more than a third to either side."""
    means = [height_of(score, relative) or 0.0 for line in lines.values() for score in line]
    if not means:
        return
    halves = [
        (height_of(score, relative) or 0.0, score.difference.half_width)
        for line in lines.values()
        for score in line
        if banded(score) and score.difference
    ]
    axes.set_ylim(*limits(means, halves))


def limits(values: Sequence[float], intervals: Sequence[tuple[float, float]] = ()) -> tuple[float, float]:
    """Compute axis limits from values, and (centre, half-width) intervals that may stretch them by a third."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) * 0.02 or 1.0
    down = min([low, *(centre - half for centre, half in intervals)])
    up = max([high, *(centre + half for centre, half in intervals)])
    return max(down, low - span / 3) - 0.06 * span, min(up, high + span / 3) + 0.06 * span

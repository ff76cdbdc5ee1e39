"""Quality against what it costs, and against the LR: one point per method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import TYPE_CHECKING

from rescale_bench.plots.compose import Drawn, Panel, Plan
from rescale_bench.plots.filters import Options, Selection, axis_title, left_out, usable, usual_scales
from rescale_bench.plots.labels import Anchor
from rescale_bench.plots.scale import banded, height_of, limits, native_note, panel_title
from rescale_bench.plots.style import GREY, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rescale_bench.tables.scores import Score

STEPS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.4, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8)),
    (0.9, (1, 1.5, 2, 3, 5, 7)),
    (1.6, (1, 2, 5)),
    (3.0, (1, 3)),
)
"""Decades of a logarithmic axis, and the ticks within each below that span."""
SECONDS = ("seconds_down", "seconds_up")


@dataclass(frozen=True)
class Along:
    """The x axis of a scatter figure.

    title: of the axis. place: (score of the y metric) → (x, low, high), low and high being the ends of a bar, or
    None without a value. edge: where 0 or infinity is drawn beside the others ("left", "right" or ""), and edge_text.
    log: logarithmic.
    """

    title: str
    place: Callable[[Score], tuple[float, float, float] | None]
    log: bool
    edge: str = ""
    edge_text: str = ""


def plan_cost(selection: Selection, options: Options) -> Plan:
    """Plan quality against seconds per megapixel of HR (median over images; bars: the middle half)."""
    other = _by_key(selection, SECONDS)

    def place(score: Score) -> tuple[float, float, float] | None:
        halves = [other.get((*_key(score), metric)) for metric in SECONDS]
        values = []
        for image in score.states:
            pixels = selection.pixels.get((score.group.dataset, score.group.scale, image), math.nan)
            parts = [half.finite.get(image, math.nan) if half else math.nan for half in halves]
            values.append(sum(parts) / pixels * 1e6)
        known = [value for value in values if math.isfinite(value) and value > 0]
        if not known:
            return None
        low, _, high = quantiles(known, n=4, method="inclusive") if len(known) > 1 else known * 3
        return median(known), low, high

    along = Along("seconds per HR megapixel, down and up [s/MP] ← better", place, log=True)
    notes = ["Time: median over the images, bar: their middle half; on the machine of this run (env.json)."]
    return _plan(selection, options, along, "against time", notes)


def plan_parameters(selection: Selection, options: Options) -> Plan:
    """Plan quality against the number of parameters; methods without any stand at 0 beside the log axis."""
    other = _by_key(selection, ("params",))

    def place(score: Score) -> tuple[float, float, float] | None:
        found = other.get((*_key(score), "params"))
        return None if found is None or found.mean is None else (found.mean,) * 3

    along = Along("parameters, down and up ← fewer", place, log=True, edge="left", edge_text="0")
    return _plan(selection, options, along, "against parameters", [])


def plan_lr(selection: Selection, options: Options) -> Plan:
    """Plan quality of the HR against fidelity of the LR to the bicubic one, whose own is infinite."""
    metric = selection.metrics([options.fidelity])[0]
    other = _by_key(selection, (metric,))

    def place(score: Score) -> tuple[float, float, float] | None:
        found = other.get((*_key(score), metric))
        return None if found is None or found.mean is None or not usable(found) else (found.mean,) * 3

    title = axis_title(next(iter(score for score in selection.scores if score.metric == metric)))
    along = Along(title.replace("↑", "→"), place, log=False, edge="right", edge_text="∞ (equal)")
    return _plan(selection, options, along, "against fidelity of the LR", [])


def _key(score: Score) -> tuple[str, str, str, str]:
    return score.group.dataset, score.group.scale, score.group.codec, score.label


def _by_key(selection: Selection, metrics: Sequence[str]) -> dict[tuple[str, ...], Score]:
    return {(*_key(score), score.metric): score for score in selection.scores if score.metric in metrics}


def _plan(selection: Selection, options: Options, along: Along, against: str, notes: Sequence[str]) -> Plan:
    metric = selection.metrics(options.metrics)[0]
    scales, passed = usual_scales(selection, options.scales)
    drawn = [score for score in selection.scores if score.metric == metric and score.group.scale in scales]
    looks = selection.looks(drawn)
    panels = [
        Panel(panel_title(found, scale), partial(_draw, found, selection, looks, along, options.relative))
        for dataset in selection.datasets
        for scale in scales
        if (found := [score for score in selection.at(metric, dataset, scale) if _drawable(score, along)])
        and not all(score.ceiling for score in found)
    ]
    shown = {selection.name(score) for score in drawn if _drawable(score, along)}
    without = sorted({selection.name(score) for score in drawn if usable(score) and not _drawable(score, along)})
    remarks = [*notes]
    if any(banded(score) for score in drawn):
        remarks.append(f"Upright bars: 95 % paired t-interval of the difference to {selection.reference}.")
    remarks += native_note(drawn)
    if without:
        remarks.append(f"Without a place on the x axis: {', '.join(without)}.")
    return Plan(
        title=f"{selection.title([metric])} {against}",
        subtitle=selection.subtitle,
        panels=panels,
        columns=min(3, len(scales)) if len(selection.datasets) > 1 and len(scales) > 1 else 3,
        notes=[*remarks, *left_out(drawn, selection), *([passed] if passed else [])],
        styles={name: looks[name] for name in looks if name in shown},
        size=(3.7, 2.8),
        lines=False,
    )


def _drawable(score: Score, along: Along) -> bool:
    """Tell whether a score has a place: a ceiling is a line across the panel and needs none on the x axis."""
    return height_of(score, relative=False) is not None and (score.ceiling or along.place(score) is not None)


def _draw(
    found: Sequence[Score], selection: Selection, looks: Mapping[str, Style], along: Along, relative: bool, axes: Axes
) -> Drawn:
    places = [(score, along.place(score) or (math.nan,) * 3) for score in found if not score.ceiling]
    regular = [x for _, (x, _, _) in places if math.isfinite(x) and (x > 0 or not along.log)]
    reach = [end for _, (x, low, high) in places if x in regular for end in (low, high)]
    if along.log:
        axes.set_xscale("log")
    edge = _edge(axes, along, reach, any(x not in regular for _, (x, _, _) in places))
    anchors, ys, bars = [], [], []
    for score, (x, low, high) in places:
        y = height_of(score, relative)
        if y is None:
            continue
        style, at = looks[selection.name(score)], x if x in regular else edge
        half = score.difference.half_width if banded(score) and score.difference else 0.0
        if high > low:
            axes.plot([low, high], [y, y], color=style.colour, linewidth=0.9, zorder=2)
        if half:
            axes.plot([at, at], [y - half, y + half], color=style.colour, linewidth=0.9, alpha=0.8, zorder=2)
        axes.plot(
            [at], [y], color=style.colour, marker=style.marker, markersize=6, linestyle="", zorder=3,
            markerfacecolor=style.colour if score.native else "white", clip_on=False,
        )  # fmt: skip
        anchors.append(Anchor(at, y, selection.name(score), style))
        ys.append(y)
        bars.append((y, half))
    for score in (score for score in found if score.ceiling):
        y, style = height_of(score, relative), looks[selection.name(score)]
        if y is not None:
            axes.axhline(y, color=style.colour, linestyle=style.line, zorder=1.5)
            anchors.append(Anchor(axes.get_xlim()[0], y, selection.name(score), style))
            ys.append(y)
    axes.set_ylim(*limits(ys, bars))
    axes.set_xlabel(along.title)
    axes.set_ylabel(axis_title(found[0], relative, selection.reference or ""))
    return Drawn(anchors)


def _edge(axes: Axes, along: Along, regular: Sequence[float], needed: bool) -> float:
    """Fix the x axis; return where a value that has no place on it (0, ∞) is drawn, beyond a fence."""
    if along.log:
        low, high = (math.log10(min(regular)), math.log10(max(regular))) if regular else (0.0, 1.0)
    else:
        low, high = (min(regular), max(regular)) if regular else (0.0, 1.0)
    span = max(high - low, 0.3 if along.log else 1.0)
    sides = {"left": 0.32 if needed and along.edge == "left" else 0.1, "right": 0.1}
    sides["right"] = 0.32 if needed and along.edge == "right" else 0.22
    ends = [low - sides["left"] * span, high + sides["right"] * span]
    at = ends[0] + 0.07 * span if along.edge == "left" else ends[1] - 0.1 * span
    fence = at + 0.1 * span if along.edge == "left" else at - 0.1 * span
    turn: Callable[[float], float] = (lambda value: 10**value) if along.log else (lambda value: value)
    axes.set_xlim(turn(ends[0]), turn(ends[1]))
    _ticks(axes, along, (low, high))
    if needed and along.edge:
        _keep_ticks(axes, turn(fence), along, turn(at))
        axes.axvline(turn(fence), color=GREY, linewidth=0.7, linestyle=(0, (1, 2)))
    return turn(at)


def _ticks(axes: Axes, along: Along, ends: tuple[float, float]) -> None:
    """Put few round ticks, written out: 0.05 · 0.1 · 0.2, 500k · 1M · 2M."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    if not along.log:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    subs = next((subs for span, subs in STEPS if ends[1] - ends[0] < span), (1.0,))
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axes.xaxis.set_major_formatter(lambda value, _: short(value))
    axes.xaxis.set_minor_formatter(NullFormatter())


def short(value: float) -> str:
    """Write a number in few characters: 0.05, 20, 1.5k, 2M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _keep_ticks(axes: Axes, fence: float, along: Along, at: float) -> None:
    """Keep the ticks on the measured side of the fence, and name the place beyond it."""
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = sorted(axes.get_xlim())
    axis = axes.xaxis
    ticks = [float(tick) for tick in axis.get_major_locator()() if low <= tick <= high]
    # The name of the place beyond the fence is wide; a tick's text must not run into it.
    room = 0.03 * (high - low)
    kept = [tick for tick in ticks if (tick > fence if along.edge == "left" else tick < fence - room)]
    texts = dict(zip(kept, axis.get_major_formatter().format_ticks(kept), strict=True))
    axis.set_major_locator(FixedLocator([*kept, at]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: texts.get(float(value), along.edge_text))

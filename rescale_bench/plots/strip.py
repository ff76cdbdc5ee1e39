"""Image by image: a strip of points per method, the same image on the same height in every strip."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.errors import UsageError
from rescale_bench.plots.compose import Drawn, Panel, Plan
from rescale_bench.plots.filters import Options, Selection, axis_title, left_out, usable, usual_scales
from rescale_bench.plots.labels import broken
from rescale_bench.plots.scale import panel_title
from rescale_bench.plots.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rescale_bench.tables.scores import Score

JOINED = 40
"""Up to this many images a thin line joins each image's points."""
STRIP = 0.34
"""Height of one strip in inches."""
GOLDEN = (math.sqrt(5) - 1) / 2


def plan_strip(selection: Selection, options: Options) -> Plan:
    """Plan one panel per data set and scale, strips from the best mean at the top."""
    metric = selection.metrics(options.metrics)[0]
    scales, passed = usual_scales(selection, options.scales)
    drawn = [score for score in selection.scores if score.metric == metric and score.group.scale in scales]
    if any(score.whole for score in drawn):
        raise UsageError(f"{metric} is a value of whole data sets: it has no points image by image")
    looks = selection.looks(drawn)
    panels = [
        Panel(panel_title(found, scale), partial(_draw, found, selection, looks, options.relative))
        for dataset in selection.datasets
        for scale in scales
        if (found := _strips(selection, metric, dataset, scale, options.relative))
    ]
    notes = ["Point: one image, on the same height in every strip. Upright bar: the mean."]
    if any(len(score.states) <= JOINED for score in drawn):
        notes.append("Grey lines join the points of one image.")
    if any(score.count("infinite") for score in drawn):
        notes.append("Images with an infinite value (identical) are not drawn.")
    return Plan(
        title=f"{selection.title([metric])} image by image"
        + (f", relative to {selection.reference}" if options.relative else ""),
        subtitle=selection.subtitle,
        panels=panels,
        columns=min(2, len(scales)) if len(selection.datasets) > 1 and len(scales) > 1 else 2,
        notes=[*notes, *left_out(drawn, selection), *([passed] if passed else [])],
        styles=looks,
        size=(3.7, max(1.2, STRIP * len(looks) + 0.25)),
    )


def _strips(selection: Selection, metric: str, dataset: str, scale: str, relative: bool) -> list[Score]:
    """Pick the scores with points; the reference has none but zeros in its own differences."""
    return [
        score
        for score in selection.at(metric, dataset, scale)
        if values_of(score, selection, relative) and not (relative and score.label == selection.reference)
    ]


def values_of(score: Score, selection: Selection, relative: bool) -> dict[str, float]:
    """Give image → value, or its difference to the reference where both are finite."""
    if not relative:
        return score.finite.by_name
    base = next(
        (one for one in selection.scores
         if (one.group, one.metric, one.label) == (score.group, score.metric, selection.reference)), None,
    )  # fmt: skip
    if base is None:
        return {}
    return {image: value - base.finite[image] for image, value in score.finite.items() if image in base.finite}


def offsets(images: Sequence[str]) -> dict[str, float]:
    """Give every image its height within a strip, −0.26 to 0.26: evenly scattered, the same in every strip."""
    return {image: 0.52 * ((index * GOLDEN) % 1 - 0.5) for index, image in enumerate(sorted(images))}


def _draw(
    found: Sequence[Score], selection: Selection, looks: Mapping[str, Style], relative: bool, axes: Axes
) -> Drawn:
    values = {id(score): values_of(score, selection, relative) for score in found}
    sign = -1 if found[0].about.direction == "down" else 1

    def goodness(score: Score) -> tuple[bool, float, str]:
        mean = sum(values[id(score)].values()) / len(values[id(score)])
        return usable(score), sign * mean, score.label

    order = sorted(found, key=goodness)
    heights = offsets(sorted({image for score in found for image in values[id(score)]}))
    if relative:
        axes.axvline(0, color="black", linewidth=1.0, zorder=1.5)
    if len(heights) <= JOINED:
        _join(axes, [values[id(score)] for score in order], heights)
    for row, score in enumerate(order):
        style, mine = looks[selection.name(score)], values[id(score)]
        axes.plot(
            list(mine.values()), [row + heights[image] for image in mine], color=style.colour, marker=style.marker,
            linestyle="", markersize=3.6, alpha=0.75, markeredgewidth=1.2 if score.ceiling else 0, zorder=3,
        )  # fmt: skip
        if usable(score):
            mean = sum(mine.values()) / len(mine)
            axes.plot([mean, mean], [row - 0.36, row + 0.36], color="black", linewidth=1.8, zorder=4)
    axes.set_yticks(range(len(order)), [broken(selection.name(score)) for score in order])
    for tick, score in zip(axes.get_yticklabels(), order, strict=True):
        tick.set_color(looks[selection.name(score)].ink)
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(axis_title(found[0], relative, selection.reference or "").replace("↑", "→").replace("↓", "←"))
    return Drawn()


def _join(axes: Axes, rows: Sequence[Mapping[str, float]], heights: Mapping[str, float]) -> None:
    for image, height in heights.items():
        spots = [(row[image], index + height) for index, row in enumerate(rows) if image in row]
        if len(spots) > 1:
            axes.plot(*zip(*spots, strict=True), color="#BFBFBF", linewidth=0.5, zorder=1)

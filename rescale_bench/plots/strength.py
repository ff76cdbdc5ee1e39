"""Quality over the strength of a damage: one panel for each family of damages, a line for each method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.errors import UsageError
from rescale_bench.plots.compose import Drawn, Panel, Plan, compose
from rescale_bench.plots.filters import axis_title
from rescale_bench.plots.kinds import MOST
from rescale_bench.plots.labels import Anchor
from rescale_bench.plots.scale import limits
from rescale_bench.plots.style import Style, styles
from rescale_bench.tables.scores import reference_of
from rescale_bench.tables.stability import NONE, Family, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def strength_figure(grids: Sequence[Grid], reference: str = "bicubic") -> Figure:
    """Draw what tables.stability.grids gave. reference: the method that is black. Raises UsageError for too many."""
    labels = list(dict.fromkeys(label for grid in grids for label in grid.labels))
    looks = styles(labels, reference_of(set(labels), reference))
    panels = [
        Panel(_title(grid, family, several=len(grids) > 1), partial(_draw, grid, family, looks))
        for grid in grids
        for family in grid.families
    ]
    if len(panels) > MOST:
        raise UsageError(f"{len(panels)} panels are too many to read: choose with --datasets, --scales, --codecs")
    first = grids[0]
    place = "" if len(grids) > 1 else f"{first.group.dataset} ×{first.group.scale} · {first.first.images} images · "
    plan = Plan(
        title=f"{first.first.about.title} when the LR is damaged",
        subtitle=f"{place}protocol {first.group.protocol} · "
        f"codec {' and '.join(dict.fromkeys(grid.group.codec for grid in grids))}",
        panels=panels,
        columns=3,
        notes=["In brackets: images."] * (len(grids) > 1)
        + ["Strengths stand side by side as they were measured, the mildest on the left; the axis has no scale."],
        styles={label: looks[label] for label in labels},
    )
    return compose(plan)


def _title(grid: Grid, family: Family, several: bool) -> str:
    group = grid.group
    return f"{group.dataset} ×{group.scale} ({grid.first.images}), {family.title}" if several else family.title


def _draw(grid: Grid, family: Family, looks: Mapping[str, Style], axes: Axes) -> Drawn:
    names = [NONE, *(name for name, _ in family.steps)]
    damages = ["", *(damage for _, damage in family.steps)]
    anchors = []
    for label in grid.labels:
        means = ((x, grid.mean(damage, label)) for x, damage in enumerate(damages))
        points = [(float(x), mean) for x, mean in means if mean is not None]
        if not points:
            continue
        style = looks[label]
        # Damages without an order are no line.
        line = style.line if family.strength else ""
        axes.plot(*zip(*points, strict=True), color=style.colour, marker=style.marker, linestyle=line, zorder=3)
        anchors.append(Anchor(*points[-1], label, style))
    # One axis for all damages of a data set: what costs little then looks little.
    axes.set_ylim(*limits([mean for damage in grid.at for each in grid.labels if (mean := grid.mean(damage, each))]))
    turned = sum(map(len, names)) > 30
    axes.set_xticks(range(len(names)), names, rotation=40 if turned else 0, ha="right" if turned else "center")
    axes.set_xlabel(family.strength)
    axes.set_ylabel(axis_title(grid.first))
    return Drawn(ends=anchors)

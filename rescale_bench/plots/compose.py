"""Lay panels out on a sheet: title, axes, names beside the lines or a legend on the right, notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescale_bench.plots.labels import Anchor, name_ends, name_points, spread_ends
from rescale_bench.plots.style import BASE, GREY, LARGE, RC, SMALL, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.legend import Legend

MARGIN, TITLE, NARROWEST = 0.1, 0.22, 4.6
"""Inches: around the sheet, of a title above its subtitle, of the narrowest sheet."""
TALLEST = 40
"""Names in one column of a legend."""
MOST_NAMED = 6
"""Panels whose names stand in them at most: of more the reader wants one legend."""


@dataclass(frozen=True)
class Drawn:
    """What a panel's drawing leaves to be named: places whose names stand beside them, or right of the axes (ends)."""

    points: Sequence[Anchor] = ()
    ends: Sequence[Anchor] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes: its title and what draws it."""

    title: str
    draw: Callable[[Axes], Drawn]


@dataclass(frozen=True)
class Plan:
    """A sheet before it is drawn.

    panels: row by row. columns: panels side by side. styles: of the names in the legend, drawn as lines with markers
    or as markers alone. size: of one pair of axes in inches. legend: one for all panels, even where names would fit.
    """

    title: str
    subtitle: str
    panels: Sequence[Panel]
    columns: int
    notes: Sequence[str]
    styles: Mapping[str, Style]
    size: tuple[float, float] = (3.3, 2.5)
    lines: bool = True
    legend: bool = False


def compose(plan: Plan) -> Figure:
    """Draw a plan: with names beside the lines where all of them fit, else with one legend for all panels."""
    from matplotlib import rc_context

    with rc_context(RC):
        figure, fits = _sheet(plan, named=not plan.legend)
        return figure if fits else _sheet(plan, named=False)[0]


def _sheet(plan: Plan, named: bool) -> tuple[Figure, bool]:
    """Draw a plan, named or with a legend, and tell whether all names fit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = min(plan.columns, len(plan.panels))
    rows = -(-len(plan.panels) // columns)
    wide, high = plan.size
    layout = ConstrainedLayoutEngine(w_pad=0.07, h_pad=0.07)
    figure = Figure(figsize=(columns * (wide + 1), rows * (high + 1)), dpi=100, layout=layout)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, columns)
    drawn = {}
    for index, panel in enumerate(plan.panels):
        axes = figure.add_subplot(grid[divmod(index, columns)])
        axes.set_title(panel.title)
        drawn[axes] = panel.draw(axes)
    if len(drawn) > MOST_NAMED and any(names.points or names.ends for names in drawn.values()):
        named = False
    ends = {axes: name_ends(axes, names.ends) for axes, names in drawn.items()} if named else {}
    _arrange(figure, layout, plan, (rows, columns), None if named else _legend(figure, plan))
    if not named:
        return figure, True
    fits = all(spread_ends(axes, names) for axes, names in ends.items())
    return figure, fits and all(name_points(axes, names.points) for axes, names in drawn.items())


def _arrange(
    figure: Figure, layout: ConstrainedLayoutEngine, plan: Plan, shape: tuple[int, int], legend: Legend | None
) -> None:
    """Give the axes the planned size, and the sheet what they, title, notes and legend need."""
    layout.execute(figure)
    (width, height), dpi = figure.get_size_inches(), figure.dpi
    box = figure.axes[0].get_window_extent()
    width = max(width + shape[1] * (plan.size[0] - box.width / dpi), NARROWEST)
    height += shape[0] * (plan.size[1] - box.height / dpi)
    if legend:
        height = max(height, legend.get_window_extent().height / dpi + 2 * MARGIN)
    figure.set_size_inches(width, height)
    left = MARGIN / width
    title = figure.text(left, 1, plan.title, fontsize=LARGE, fontweight="bold", va="top")
    # Not yet at the top, where matplotlib 3.11 finds no width to wrap in.
    subtitle = figure.text(left, 0.5, plan.subtitle, fontsize=BASE, color=GREY, va="top", wrap=True)
    notes = figure.text(
        left, 0, "\n".join(plan.notes), fontsize=SMALL, color=GREY, va="bottom", wrap=True, linespacing=1.4
    )
    for text in (title, subtitle, notes):
        text.set_in_layout(False)
    head = MARGIN + TITLE + subtitle.get_window_extent().height / dpi + MARGIN
    foot = 2 * MARGIN + notes.get_window_extent().height / dpi if plan.notes else 0
    height += head + foot
    figure.set_size_inches(width, height)
    title.set_y(1 - MARGIN / height)
    subtitle.set_y(1 - (MARGIN + TITLE) / height)
    notes.set_y(MARGIN / height)
    inner = (0, foot / height, 1, 1 - (head + foot) / height)
    layout.set(rect=inner)
    layout.execute(figure)
    figure.set_layout_engine("none")
    if legend:
        legend.set_bbox_to_anchor(inner, figure.transFigure)


def _legend(figure: Figure, plan: Plan) -> Legend:
    from matplotlib.lines import Line2D

    return figure.legend(
        handles=[
            Line2D(
                [], [], color=style.colour, marker=style.marker, linestyle=style.line if plan.lines else "", label=name
            )
            for name, style in plan.styles.items()
        ],
        loc="outside right upper",
        ncols=-(-len(plan.styles) // TALLEST),
        frameon=False,
        fontsize=SMALL,
        handlelength=3.2 if plan.lines else 1.2,
    )

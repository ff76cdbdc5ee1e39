"""Lay panels out on a sheet: title, axes, names beside the lines or a legend below, notes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescale_bench.plots.labels import COLUMN, Anchor, broken, label_ends, label_points, text_size
from rescale_bench.plots.style import BASE, GREY, LARGE, RC, SMALL, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

GAP = 0.28
"""Inches between panels, beside what their labels need."""
HEAD, TITLE, FOOT, NOTE = 0.57, 0.26, 0.46, 0.145
"""Inches: title and subtitle; a panel's title; an axis and its label; one line of the notes or the legend."""


@dataclass(frozen=True)
class Drawn:
    """What a panel's drawing leaves to be named.

    anchors: the places of names that stand beside them. ends: of names in a column right of the axes.
    obstacles: further points that names stay off; soft: the same, where there is room (bars, fences).
    """

    anchors: Sequence[Anchor] = ()
    ends: Sequence[Anchor] = ()
    obstacles: Sequence[tuple[float, float]] = ()
    soft: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Panel:
    """One pair of axes: its title and what draws it."""

    title: str
    draw: Callable[[Axes], Drawn]


@dataclass(frozen=True)
class Plan:
    """A sheet before it is drawn.

    panels: row by row. columns: panels side by side. names: what may stand beside lines, for its width.
    size: of one pair of axes, left: room for its y axis, in inches. styles: of the names in the legend, drawn as
    lines with markers or as markers alone.
    """

    title: str
    subtitle: str
    panels: Sequence[Panel]
    columns: int
    notes: Sequence[str]
    styles: Mapping[str, Style]
    names: Sequence[str] = ()
    size: tuple[float, float] = (3.3, 2.5)
    left: float = 0.62
    lines: bool = True


def compose(plan: Plan) -> Figure:
    """Draw a plan: with names beside the lines where all of them fit, else with one legend for all panels."""
    from matplotlib import rc_context

    with rc_context(RC):
        figure, fits = _sheet(plan, legend=False)
        return figure if fits else _sheet(plan, legend=True)[0]


def _sheet(plan: Plan, legend: bool) -> tuple[Figure, bool]:
    from matplotlib.figure import Figure

    wide, high = plan.size
    right = (
        0.12 if legend or not plan.names else (max(text_size(broken(n))[0] for n in plan.names) + COLUMN) / 72 + 0.06
    )
    columns = min(plan.columns, len(plan.panels))
    rows = -(-len(plan.panels) // columns)
    cell = plan.left + wide + right
    width = max(columns * cell + (columns - 1) * GAP + 0.12, 4.6)
    notes = [line for note in plan.notes for line in textwrap.wrap(note, int(width * 72 / (SMALL * 0.545)))]
    entries = _legend_rows(plan.styles, width) if legend else 0
    below = (len(notes) + entries * 0.93) * NOTE + 0.14 + (0.06 if entries else 0)
    subtitle = textwrap.wrap(plan.subtitle, int(width * 72 / (BASE * 0.56)))
    head = HEAD + (len(subtitle) - 1) * 0.15
    height = head + rows * (TITLE + high + FOOT) + below
    figure = Figure(figsize=(width, height), dpi=100)
    fits = True
    for index, panel in enumerate(plan.panels):
        row, column = divmod(index, columns)
        left = plan.left + column * (cell + GAP)
        bottom = height - head - (row + 1) * (TITLE + high) - row * FOOT
        axes = figure.add_axes((left / width, bottom / height, wide / width, high / height))
        axes.set_title(panel.title)
        drawn = panel.draw(axes)
        if not legend:
            write = label_ends(axes, drawn.ends)
            write = label_points(axes, drawn.anchors, drawn.obstacles, drawn.soft) and write
            fits = fits and write
    _texts(figure, plan.title, subtitle, notes)
    if legend:
        _legend(figure, plan, width, (len(notes) * NOTE + 0.12) / height)
    return figure, fits


def _texts(figure: Figure, title: str, subtitle: Sequence[str], notes: Sequence[str]) -> None:
    width, height = figure.get_size_inches()
    x = 0.12 / width
    figure.text(x, 1 - 0.1 / height, title, fontsize=LARGE, fontweight="bold", va="top")
    figure.text(x, 1 - 0.31 / height, "\n".join(subtitle), fontsize=BASE, color=GREY, va="top", linespacing=1.2)
    for index, note in enumerate(reversed(notes)):
        figure.text(x, (0.09 + index * NOTE) / height, note, fontsize=SMALL, color=GREY, va="bottom")


def handles(styles: Mapping[str, Style], lines: bool = True) -> list[Line2D]:
    """Make the legend's samples, with lines or of markers alone."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.line if lines else "", label=label)
        for label, style in styles.items()
    ]


def _legend_columns(styles: Mapping[str, Style], width: float) -> int:
    widest = max(text_size(label)[0] for label in styles) / 72 + 0.55
    return max(1, min(len(styles), int((width - 0.2) / widest)))


def _legend_rows(styles: Mapping[str, Style], width: float) -> int:
    return -(-len(styles) // _legend_columns(styles, width))


def _legend(figure: Figure, plan: Plan, width: float, bottom: float) -> None:
    figure.legend(
        handles=handles(plan.styles, plan.lines),
        loc="lower left",
        bbox_to_anchor=(0.06 / width, bottom),
        ncols=_legend_columns(plan.styles, width),
        frameon=False,
        fontsize=SMALL,
        handlelength=3.2 if plan.lines else 1.2,
        columnspacing=1.4,
        labelspacing=0.35,
        borderaxespad=0,
    )

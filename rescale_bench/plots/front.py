"""The Pareto front of bits and quality: what `choose` compares, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.errors import UsageError
from rescale_bench.plots.compose import Drawn, Panel, Plan, compose
from rescale_bench.plots.filters import axis_title
from rescale_bench.plots.labels import Anchor
from rescale_bench.plots.rate import rate_axes
from rescale_bench.plots.style import GREY, Style, styles
from rescale_bench.tables.choices import Answer, pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def front_figure(found: Sequence[Answer]) -> Figure:
    """Draw one panel per answer: each method's own front, the front of all, the limit, the best within it.

    Raises UsageError where nothing was measured on all images.
    """
    drawn = [answer for answer in found if answer.candidates]
    if not drawn:
        raise UsageError("there is nothing to draw: no candidate was measured on all images")
    looks = styles({each.method for answer in drawn for each in answer.candidates}, None)
    notes = [
        "Lines: each method's own front over its scales, codecs and qualities; dots: its other settings; "
        "grey: the front of all methods; dashed: the limit; ring: the best within the limits.",
        "Bits of the LR file per HR pixel and quality of the restored HR: both means over the images.",
        *(f"{answer.setting.name}: {answer.best.name}." for answer in drawn if answer.best),
    ]
    plan = Plan(
        title=f"{drawn[0].head.about.title} over bits: what to choose",
        subtitle="; ".join(
            dict.fromkeys(f"protocol {answer.setting.protocol}, {answer.limits.text}" for answer in drawn)
        ),
        panels=[Panel(answer.setting.name, partial(_draw, answer, looks)) for answer in drawn],
        columns=2,
        notes=notes,
        styles=looks,
        size=(4.6, 3.4),
    )
    return compose(plan)


def _draw(answer: Answer, looks: dict[str, Style], axes: Axes) -> Drawn:
    axes.set_xscale("log")
    sign = -1 if answer.column.direction == "down" else 1
    anchors = []
    for method in dict.fromkeys(each.method for each in answer.candidates):
        mine = [each for each in answer.candidates if each.method == method]
        own, style = pareto(mine, sign), looks[method]
        axes.plot(
            [each.rate.mean for each in mine], [each.mean for each in mine],
            color=style.colour, marker=".", markersize=3, linestyle="", alpha=0.5, zorder=2,
        )  # fmt: skip
        axes.plot(
            [each.rate.mean for each in own], [each.mean for each in own],
            color=style.colour, marker=style.marker, linestyle=style.line, zorder=3,
        )  # fmt: skip
        anchors.append(Anchor(own[-1].rate.mean, own[-1].mean, method, style))
    axes.plot(
        [each.rate.mean for each in answer.front], [each.mean for each in answer.front],
        color=GREY, linewidth=6, alpha=0.25, solid_capstyle="round", zorder=1,
    )  # fmt: skip
    rate_axes(axes, [(each.rate.mean, each.mean) for each in answer.candidates])
    axes.axvline(answer.limits.bpp, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)))
    if answer.best:
        axes.plot(
            [answer.best.rate.mean], [answer.best.mean],
            marker="o", markersize=12, markerfacecolor="none", color="black", linestyle="", zorder=4,
        )  # fmt: skip
    axes.set_xlabel("bits per HR pixel [bit/px] ← better")
    axes.set_ylabel(axis_title(answer.head))
    return Drawn(anchors)

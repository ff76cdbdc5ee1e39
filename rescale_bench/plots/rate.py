"""Rate-distortion: bits per HR pixel of the LR's file against quality of the HR."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.plots.compose import Drawn, Panel, Plan
from rescale_bench.plots.direct import DirectCurve
from rescale_bench.plots.filters import Options, Selection, axis_title, left_out, usable, usual_scales
from rescale_bench.plots.labels import Anchor
from rescale_bench.plots.scale import limits, panel_title
from rescale_bench.plots.style import GREY, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rescale_bench.tables.scores import Score

RATE = "bpp"
DIRECT = "JPEG of the HR"
DIRECT_STYLE = Style(GREY, ".", (3, 1.2, 1, 1.2))
Direct = Mapping[tuple[str, str], DirectCurve]
Point = tuple[float, float]


@dataclass(frozen=True)
class Rates:
    """What one method reached at one scale of a data set.

    curves: codec family → its settings as (bpp, quality), rising in bpp. Means over images, both of them.
    scores: of the quality metric, one per setting.
    """

    label: str
    curves: Mapping[str, Sequence[Point]]
    scores: Sequence[Score]

    def name(self, family: str) -> str:
        """Name a curve: by its method, and by its codec where there are curves of several."""
        several = sum(len(points) > 1 for points in self.curves.values()) > 1
        return f"{self.label} · {family}" if several else self.label


def plan_rate(selection: Selection, options: Options, direct: Direct, absent: Sequence[str] = ()) -> Plan:
    """Plan one panel per data set and scale. direct: the HR as JPEG, by (data set, scale); absent: notes on gaps."""
    metric = selection.metrics(options.metrics)[0]
    scales, passed = usual_scales(selection, options.scales)
    panels: list[Panel] = []
    found: list[Rates] = []
    looks: dict[str, Style] = {}
    for dataset in selection.datasets:
        for scale in scales:
            rates = collect(selection, metric, dataset, scale)
            if not rates:
                continue
            found += rates
            reference = direct.get((dataset, scale))
            title = panel_title(rates[0].scores, scale)
            panels.append(Panel(title, partial(_draw, rates, selection.styles, reference)))
            for one in rates:
                looks |= {one.name(family): selection.styles[one.label] for family in one.curves}
    if direct:
        looks[DIRECT] = DIRECT_STYLE
    scores = [score for score in selection.scores if score.metric == metric and score.group.scale in scales]
    return Plan(
        title=f"{selection.title([metric])} over bitrate",
        subtitle=f"protocol {selection.protocol} · codecs of the LR file: {_codecs(selection.codecs)}",
        panels=panels,
        columns=min(2, len(scales)) if len(selection.datasets) > 1 and len(scales) > 1 else 2,
        notes=[*_notes(found, direct), *absent, *left_out(scores, selection), *([passed] if passed else [])],
        styles=looks,
        size=(4.3, 3.1),
    )


def family_of(codec: str) -> str:
    """Cut a codec's options off: "jpeg:quality=30" is "jpeg"."""
    return codec.partition(":")[0]


def _codecs(codecs: Sequence[str]) -> str:
    texts: dict[str, list[str]] = {}
    for codec in codecs:
        family, _, options = codec.partition(":")
        texts.setdefault(family, []).append(options.removeprefix("quality=") or "default")
    return ", ".join(
        f"{family} ({', '.join(given)})" if given != ["default"] else family for family, given in texts.items()
    )


def _notes(found: Iterable[Rates], direct: Direct) -> list[str]:
    found = list(found)
    notes = ["Bits of the LR file per HR pixel and quality of the restored HR: both means over the images."]
    single = sorted({family for one in found for family, points in one.curves.items() if len(points) == 1})
    if single:
        notes.append(f"Hollow: a codec at one setting ({', '.join(single)}).")
    if direct:
        notes.append(f"{DIRECT}: the full-size image as JPEG, no rescaling.")
    born = sorted({dataset for (dataset, _), curve in direct.items() if curve.born_as})
    notes.extend(
        f"Warning: {name} was born as JPEG (quality about "
        f"{next(curve.born_as for (one, _), curve in direct.items() if one == name)}): its direct JPEG near that "
        "quality gives back what is already lost, so that curve flatters; draw rate-distortion on Kodak24."
        for name in born
    )
    return notes


def collect(selection: Selection, metric: str, dataset: str, scale: str) -> list[Rates]:
    """Pair rates with qualities, method by method, settings that lack either left out."""
    rates = {(one.label, one.group.codec): one for one in selection.at(RATE, dataset, scale)}
    curves: dict[str, dict[str, list[Point]]] = {}
    kept: dict[str, list[Score]] = {}
    for score in selection.at(metric, dataset, scale):
        rate = rates.get((score.label, score.group.codec))
        if rate is None or not (usable(score) and usable(rate)) or rate.mean is None or score.mean is None:
            continue
        if math.isfinite(score.mean) and rate.mean > 0:
            family = family_of(score.group.codec)
            curves.setdefault(score.label, {}).setdefault(family, []).append((rate.mean, score.mean))
            kept.setdefault(score.label, []).append(score)
    return [
        Rates(label, {family: sorted(points) for family, points in families.items()}, kept[label])
        for label, families in sorted(curves.items())
    ]


def _draw(found: Sequence[Rates], styles: Mapping[str, Style], direct: DirectCurve | None, axes: Axes) -> Drawn:
    axes.set_xscale("log")
    anchors: list[Anchor] = []
    everything = [point for one in found for points in one.curves.values() for point in points]
    if direct is not None:
        shown = [point for point in direct.points if _near(point, everything)]
        axes.plot(
            *zip(*direct.points, strict=True),
            color=GREY,
            linestyle=DIRECT_STYLE.line,
            marker=".",
            linewidth=1.2,
            zorder=2,
        )
        anchors.append(Anchor(*(shown or list(direct.points))[-1], DIRECT, DIRECT_STYLE))
    for one in found:
        style = styles[one.label]
        for family, points in one.curves.items():
            single = len(points) == 1
            axes.plot(
                *zip(*points, strict=True), color=style.colour, marker=style.marker,
                linestyle="" if single else style.line, markerfacecolor="white" if single else style.colour, zorder=3,
            )  # fmt: skip
            if not single or len(one.curves) == 1:
                anchors.append(Anchor(*points[-1], one.name(family), style))
    rate_axes(axes, everything)  # the direct curve may leave them
    axes.set_xlabel("bits per HR pixel [bit/px] ← better")
    axes.set_ylabel(axis_title(found[0].scores[0]))
    return Drawn(anchors)


def _near(spot: Point, everything: Sequence[Point]) -> bool:
    """Tell whether a place of the direct curve lies in what the methods' points make the axes show."""
    low, high = min(x for x, _ in everything), max(x for x, _ in everything)
    bottom, top = limits([y for _, y in everything])
    margin = 0.25 * (top - bottom)
    return low / 1.6 <= spot[0] <= high * 1.6 and bottom - margin <= spot[1] <= top + margin


def rate_axes(axes: Axes, everything: Sequence[Point]) -> None:
    """Fix the ends and ticks of axes of (rate, quality), the rates on a logarithmic scale, by what is measured."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = min(x for x, _ in everything), max(x for x, _ in everything)
    bottom, top = limits([y for _, y in everything])
    margin = 0.25 * (top - bottom)
    axes.set_xlim(low / 1.6, high * 1.6)
    axes.set_ylim(bottom - margin / 2, top + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())

"""Plots as inline SVG: named for screen readers, ids apart, without what changes from run to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from rescale_bench.errors import UsageError
from rescale_bench.plots.references import References
from rescale_bench.report.significance import chosen_metric
from rescale_bench.report.source import ReportSource

SHOWN = {
    "scale": ("Quality over scale", "The mean score of each method over the scale factor, a line per method."),
    "strip": ("Image by image", "The score of every method on every image."),
    "rate-distortion": ("Rate and distortion", "The quality of the restored image over the bits of the LR file."),
    "lr": ("HR against LR", "The quality of the restored image against how close the LR is to the bicubic LR."),
    "cost": ("Quality against time", "The mean score of each method against its seconds per megapixel."),
    "parameters": ("Quality against size", "The mean score of each method against the parameters of its network."),
}
"""Kinds of plot, in the order of the page; their numbers are in the leaderboard."""
HEAD = re.compile(r"<svg\b[^>]*>", re.DOTALL)
DROPPED = re.compile(r"<metadata>.*?</metadata>|<!--.*?-->|<title>.*?</title>|<desc>.*?</desc>", re.DOTALL)
VIEW = re.compile(r'\bviewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')
REFERENCES = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')
HALF = 540
"""CSS pixels that fit twice into the width of the page."""
POINT = 96 / 72
"""CSS pixels per point of an SVG written by matplotlib."""


@dataclass(frozen=True)
class Chart:
    """One plot. svg: markup, safe to inline. width: its natural width in CSS pixels."""

    title: str
    svg: str
    width: int

    @property
    def wide(self) -> bool:
        """Whether it takes a row of the page for itself, and a phone has to scroll it to read it."""
        return self.width > HALF


def draw_charts(
    source: ReportSource, reference: str, metric: str = "", references: Mapping[str, References] | None = None
) -> tuple[list[Chart], list[str]]:
    """Draw every kind of plot that the run has numbers for, per protocol.

    reference: the method of paired differences. metric: up the y axes (default: as chosen_metric's).
    references: protocol → JPEG of the HR itself, drawn beside the rate-distortion curves.
    Returns the plots, and for each kind left out one line saying why.
    """
    metric = chosen_metric(source, metric)
    protocols = list(dict.fromkeys(map(str, source.rows["protocol"])))
    charts: list[Chart] = []
    missing: list[str] = []
    for protocol in protocols:
        drawn: list[Chart] = []
        for kind in SHOWN:
            try:
                options = {"protocol": protocol, "reference": reference, "metrics": [metric]}
                beside = (references or {}).get(protocol)
                drawn.append(_chart(source, kind, options, beside, several=len(protocols) > 1))
            except UsageError as error:
                missing.append(f"no plot {kind}: {error}")
        # Those that fit side by side come first, so that rows fill up.
        charts.extend(sorted(drawn, key=lambda chart: chart.wide))
    return charts, missing


def _chart(
    source: ReportSource, kind: str, options: Mapping[str, Any], beside: References | None, several: bool
) -> Chart:
    from rescale_bench.plots import figure, svg

    title, description = SHOWN[kind]
    protocol = options["protocol"]
    if beside is None:
        drawn = figure(kind, source.frame, **options)
    else:
        drawn = figure(kind, source.frame, direct=beside.curves, absent=beside.notes, **options)
    title = f"{title}, protocol {protocol}" if several else title
    return inline(svg(drawn), f"{kind}-{protocol}", title, f"{description} The leaderboard holds the numbers.")


def inline(svg: str, name: str, title: str, description: str) -> Chart:
    """Turn an SVG file into markup for the page.

    name: sets its ids apart from other plots'. Raises ValueError where it is no SVG with a view box.
    """
    head = HEAD.search(svg)
    view = VIEW.search(head[0]) if head else None
    if head is None or view is None:
        raise ValueError(f"the plot {name} is no SVG with a viewBox")
    prefix = "plot-" + re.sub(r"[^a-z0-9]+", "-", name.lower())
    # Ids are global in a page: two plots would otherwise share clip paths and glyphs.
    body = REFERENCES.sub(rf"\1{prefix}-\2", DROPPED.sub("", svg[head.end() :]))
    opening = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {view[1]} {view[2]}" role="img" '
        f'aria-labelledby="{prefix}-title {prefix}-desc">'
        f'<title id="{prefix}-title">{escape(title)}</title><desc id="{prefix}-desc">{escape(description)}</desc>'
    )
    return Chart(title, opening + body, round(float(view[1]) * POINT))

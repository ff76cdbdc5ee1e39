"""Put the page together: everything else first, then as much of the pictures as the budget leaves."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import rescale_bench
from rescale_bench.plots.references import References
from rescale_bench.report import facts, significance
from rescale_bench.report.budget import PAGE_BYTES, Ledger
from rescale_bench.report.charts import Chart
from rescale_bench.report.markup import asset, script, templates
from rescale_bench.report.pictures import Album, album
from rescale_bench.report.source import ReportSource
from rescale_bench.report.subjects import Gallery, find_subjects

if TYPE_CHECKING:
    from rescale_bench.api.registry import Registry
    from rescale_bench.tables.model import Section

FACTOR = 8
"""Differences are drawn so many times as strong."""
ZOOM = 3
"""Screen pixels per pixel of a crop."""
LISTED = 200
"""Failed or missing cells that are named; the others are counted."""


@dataclass(frozen=True)
class View:
    """What the user asked of the page.

    metrics: of the leaderboard. metric: of the statistics, "" for the usual one. command: that made the page.
    """

    reference: str = "bicubic"
    metrics: tuple[str, ...] | None = None
    metric: str = ""
    command: str = ""
    budget: int = PAGE_BYTES


def build_report(
    source: ReportSource,
    registry: Registry,
    view: View,
    charts: Sequence[Chart] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    references: Mapping[str, References] | None = None,
) -> str:
    """Write the page of a run as one HTML text of at most view.budget bytes, pictures giving way first.

    progress: called with images done and in all. references: protocol → JPEG of the HR, for BD-rates.
    Raises UsageError, UnknownNameError for metrics the run lacks.
    """
    found = find_subjects(source.rows, source.run.outputs)
    context = _context(source, registry, view, charts, found, references or {})
    page = _render(context)
    if not found.subjects:
        return page
    # One byte per character does for the pictures' text; the rest is counted as it is.
    rest = len(page.encode())
    ledger = Ledger(view.budget - rest, len(found.subjects))
    albums: list[Album] = []
    for subject in found.subjects:
        albums.append(album(subject, ledger))
        progress(len(albums), len(found.subjects))
    return _render({**context, "albums": albums})


def _context(
    source: ReportSource,
    registry: Registry,
    view: View,
    charts: Sequence[Chart],
    found: Gallery,
    references: Mapping[str, References],
) -> dict[str, Any]:
    from rescale_bench.tables import leaderboard

    sections = leaderboard(source.frame, view.reference, view.metrics).sections
    metric = significance.chosen_metric(source, view.metric)
    failed = facts.failures(source.rows)
    return {
        "source": source,
        "view": view,
        "version": rescale_bench.__version__,
        "summary": _summary(source, len(failed)),
        "groups": _by_protocol(sections),
        "scales": _scales(source),
        "parts": list(dict.fromkeys(section.setting.name for section in sections)),
        "ranks": significance.rank_groups(source, metric),
        "tails": significance.tails(source, metric),
        "gaps": significance.rate_gaps(source, view.reference, metric, references),
        "coverage": facts.coverage(source, registry),
        "charts": charts,
        "found": found,
        "albums": (),
        "protocols": facts.protocols(source.rows, registry),
        "environment": facts.environment(source),
        "weights": facts.weights(source.rows),
        "failures": failed,
        "listed": LISTED,
        "factor": FACTOR,
        "zoom": ZOOM,
    }


def _by_protocol(sections: Sequence[Section]) -> list[tuple[str, str, list[Section]]]:
    """Group sections by protocol and its version: nothing of one group is ranked with another's."""
    groups: dict[tuple[str, str], list[Section]] = {}
    for section in sections:
        groups.setdefault((section.setting.protocol, section.setting.protocol_version), []).append(section)
    return [(*key, members) for key, members in groups.items()]


def _scales(source: ReportSource) -> list[str]:
    from decimal import Decimal

    return sorted(set(source.rows["scale"]), key=Decimal)


def _summary(source: ReportSource, failed: int) -> list[tuple[str, str]]:
    """Say in a few pairs what was measured."""
    rows = source.rows
    images = rows[["dataset", "image"]].drop_duplicates()
    sets = ", ".join(f"{name} ({count})" for name, count in images["dataset"].value_counts(sort=False).items())
    cells = int(rows["cell"].nunique()) if "cell" in rows else 0
    versions = rows[["protocol", "protocol_version"]].drop_duplicates().itertuples(index=False)
    return [
        ("Methods", str(rows["label"].nunique())),
        ("Images", f"{len(images)}: {sets}"),
        ("Scales", ", ".join(f"×{scale}" for scale in _scales(source))),
        ("Protocol", ", ".join(f"{row[0]} version {row[1]}" for row in versions)),
        ("Cells", f"{cells} stored, {failed} failed" if failed else f"{cells} measured, none failed"),
    ]


def _render(context: dict[str, Any]) -> str:
    code = script("boards.js", "report.js")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    page = templates().get_template("page.html.j2")
    return page.render(**context, style=asset("report.css"), script=code, digest=digest)

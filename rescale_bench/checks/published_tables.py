"""Write the comparison with published numbers as plain text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence

from rescale_bench.checks.published import Comparison, merged
from rescale_bench.errors import UnknownNameError

FORMATS = ("plain", "markdown", "csv", "json")
HEAD = ("method", "data set", "scale", "metric", "published", "measured", "difference", "protocol", "source", "remarks")
NUMERIC = ("scale", "published", "measured", "difference")


def render_published(found: Sequence[Comparison], form: str = "plain") -> str:
    """Write comparisons in one of FORMATS; papers that print one number share a line in plain and Markdown.

    Raises UnknownNameError for another format.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if form == "json":
        return json.dumps([record(one) for one in found], indent=1, ensure_ascii=False)
    if form == "csv":
        return _csv(found)
    if not found:
        return "No published number has a measured twin in this run."
    return _table(found, form)


def _table(found: Sequence[Comparison], form: str) -> str:
    from tabulate import tabulate

    rows = [_line(one, sources) for one, sources in merged(found)]
    if form == "markdown":
        rows = [[re.sub(r"([\\|*<>`])", r"\\\1", text) for text in row] for row in rows]
    aligned = ["right" if name in NUMERIC else "left" for name in HEAD]
    style = "pipe" if form == "markdown" else "simple"
    return tabulate(rows, headers=list(HEAD), tablefmt=style, disable_numparse=True, colalign=aligned)


def _line(one: Comparison, sources: str) -> list[str]:
    digits = one.published.decimals + 2
    measured = "–" if one.measured is None else f"{one.measured:.{digits}f}"
    difference = "–" if one.difference is None else f"{one.difference:+.{digits}f}"
    remarks = "; ".join(filter(None, (standing(one), one.note)))
    return [
        one.method, one.dataset, f"×{one.published.scale}", one.metric, one.published.text, measured, difference,
        one.protocol, sources, remarks,
    ]  # fmt: skip


def standing(one: Comparison) -> str:
    """Say what the pair is: "reproduction", "not measured", or why it is no reproduction."""
    if one.measured is None:
        return "not measured" if not one.images else "no finite value"
    return ", ".join(one.reasons) if one.reasons else "reproduction"


def record(one: Comparison) -> dict[str, str | float | bool | None]:
    """Flatten a comparison for machines."""
    row = one.published
    return {
        "method": one.method,
        "dataset": one.dataset,
        "scale": row.scale,
        "metric": one.metric,
        "published": row.value,
        "measured": one.measured,
        "difference": one.difference,
        "protocol": one.protocol,
        "images": one.images,
        "reproduction": one.reproduction,
        "standing": standing(one),
        "source": row.source,
        "table": row.table,
        "published_method": row.method,
        "published_metric": row.metric,
        "parameters": row.parameters,
        "note": one.note,
    }


def _csv(found: Sequence[Comparison]) -> str:
    stream = io.StringIO()
    rows = [record(one) for one in found]
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else ["method"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().rstrip("\n")

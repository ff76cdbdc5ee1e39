"""Write the comparison with published numbers as plain text, Markdown, CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence

from rescale_bench.checks import explanation_tables
from rescale_bench.checks.explanations import Explanation
from rescale_bench.checks.published import Comparison, merged
from rescale_bench.errors import UnknownNameError

FORMATS = ("plain", "markdown", "csv", "json")
HEAD = ("method", "data set", "scale", "metric", "published", "measured", "difference", "protocol", "source", "remarks")
NUMERIC = ("scale", "published", "measured", "difference", "then")


def render_published(
    found: Sequence[Comparison], form: str = "plain", why: Mapping[Comparison, Explanation] | None = None
) -> str:
    """Write comparisons in one of FORMATS; papers that print one number share a line in plain and Markdown.

    why: what explains the gaps, None where nobody asked. Raises UnknownNameError for another format.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if form == "json":
        return json.dumps(_records(found, why), indent=1, ensure_ascii=False)
    if form == "csv":
        return _csv(_records(found, why))
    if not found:
        return "No published number has a measured twin in this run."
    blocks = [_table(HEAD, [_line(one, sources, why) for one, sources in merged(found)], form)]
    if why:
        gaps = explanation_tables.rows(found, why)
        if gaps:
            blocks.append("What explains the differences (single switches, then pairs, on the stored outputs):")
            blocks.append(_table(explanation_tables.HEAD, gaps, form))
        blocks.extend(explanation_tables.remarks(found, why))
    return "\n\n".join(blocks)


def _table(head: Sequence[str], rows: list[list[str]], form: str) -> str:
    from tabulate import tabulate

    if form == "markdown":
        rows = [[re.sub(r"([\\|*<>`&~$])", r"\\\1", text) for text in row] for row in rows]
    aligned = ["right" if name in NUMERIC else "left" for name in head]
    style = "pipe" if form == "markdown" else "simple"
    return tabulate(rows, headers=list(head), tablefmt=style, disable_numparse=True, colalign=aligned)


def _line(one: Comparison, sources: str, why: Mapping[Comparison, Explanation] | None) -> list[str]:
    digits = one.published.decimals + 2
    measured = "–" if one.measured is None else f"{one.measured:.{digits}f}"
    difference = "–" if one.difference is None else f"{one.difference:+.{digits}f}"
    differs = "differs by more than the last digit" if one.reproduction and why and one in why else ""
    remarks = "; ".join(filter(None, (standing(one), differs, one.note)))
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


def _records(
    found: Sequence[Comparison], why: Mapping[Comparison, Explanation] | None
) -> list[dict[str, str | float | bool | None]]:
    if why is None:
        return [record(one) for one in found]
    return [record(one) | explanation_tables.record(why.get(one)) for one in found]


def _csv(rows: Sequence[Mapping[str, str | float | bool | None]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else ["method"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().rstrip("\n")

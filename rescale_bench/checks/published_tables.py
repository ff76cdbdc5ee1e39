"""Write the comparison with published numbers, and what explains the gaps, as plain text, Markdown, CSV or JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from rescale_bench.checks.explanations import Explanation, Trial
from rescale_bench.checks.published import Comparison, merged
from rescale_bench.errors import UnknownNameError
from rescale_bench.tables.model import Record, Row, Table, TableCell, TableColumn, number_cell, scale_cell, signed
from rescale_bench.tables.rendering import FILE, Screen, markdown_table, plain_table, render_records

FORMATS = ("plain", "markdown", "csv", "json")
LEAD = (
    TableColumn("method", "text", priority=0),
    TableColumn("data set", "text", priority=0),
    TableColumn("scale", priority=0),
    TableColumn("metric", "text", priority=0),
    TableColumn("published", priority=1),
    TableColumn("measured", priority=3),
)
MANY = 3
"""Equally good changes that are named; the rest are counted."""

Explanations = Mapping[Comparison, Explanation]


def render_published(
    found: Sequence[Comparison], form: str = "plain", why: Explanations | None = None, screen: Screen = FILE
) -> str:
    """Write comparisons in one of FORMATS; papers that print one number share a line in plain and Markdown.

    why: what explains the gaps, None where nobody asked. Raises UnknownNameError for another format.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if form in ("csv", "json"):
        explained = [{} if why is None else _explanation_record(why.get(one)) for one in found]
        return render_records([record(one) | more for one, more in zip(found, explained, strict=True)], form)
    if not found:
        return "The papers print no number for what this run measured; `published --coverage` lists what they have."
    write = markdown_table if form == "markdown" else partial(plain_table, screen=screen)
    blocks = [write(_comparison_table(found, why or {}))]
    if why:
        gaps = [one for one, _ in merged(found) if one in why and not why[one].obstacle]
        if gaps:
            blocks.append("What explains the differences (single switches, then pairs, on the stored outputs):")
            blocks.append(write(_gap_table(gaps, why)))
        blocks.extend(_not_tried([why[one] for one, _ in merged(found) if one in why]))
    return "\n\n".join(blocks)


def _comparison_table(found: Sequence[Comparison], why: Explanations) -> Table:
    columns = (
        *LEAD,
        TableColumn("difference", "difference", priority=2),
        TableColumn("protocol", "text"),
        TableColumn("source", "text"),
        TableColumn("remarks", "text"),
    )
    rows = []
    for one, sources in merged(found):
        differs = "differs by more than the last digit" if one.reproduction and one in why else ""
        remarks = "; ".join(filter(None, (standing(one), differs, one.note)))
        digits = one.published.decimals + 2
        gap = TableCell(signed(one.difference, digits), one.difference)
        rows.append(Row((*_lead(one), gap, *map(TableCell, (one.protocol, sources, remarks))), one.method))
    return Table("", columns, tuple(rows))


def _lead(one: Comparison) -> tuple[TableCell, ...]:
    row = one.published
    return (
        TableCell(one.method), TableCell(one.dataset), scale_cell(row.scale), TableCell(one.metric),
        TableCell(row.text, row.value), number_cell(one.measured, row.decimals + 2),
    )  # fmt: skip


def _gap_table(gaps: Sequence[Comparison], why: Explanations) -> Table:
    """Write a line for each gap that was searched, papers that print the same number joined."""
    columns = (
        *LEAD,
        TableColumn("protocol", "text"),
        TableColumn("explained by", "text", priority=2),
        TableColumn("then"),
        TableColumn("remarks", "text"),
    )
    rows = []
    for one in gaps:
        each, digits = why[one], one.published.decimals + 2
        trial = each.change or each.nearest
        words = TableCell(one.protocol), TableCell(each.change.text if each.change else "none")
        then = number_cell(trial.value if trial else None, digits)
        rows.append(Row((*_lead(one), *words, then, TableCell(_remark(each, digits))), one.method))
    return Table("", columns, tuple(rows))


def _remark(why: Explanation, digits: int) -> str:
    if why.change:
        fits = f"fits {why.support[0]} of {why.support[1]} differing numbers of the method"
        if why.support[0] < why.support[1]:
            fits += ", so it may be chance"
        return "; ".join(filter(None, (fits, _also(why.also))))
    if why.nearest is None:
        return "nothing could be tried"
    return f"nearest of {why.tried}: {why.nearest.text} ({signed(why.nearest.difference, digits)})"


def _also(trials: Sequence[Trial]) -> str:
    named = ", ".join(f"`{trial.text}`" for trial in trials[:MANY])
    more = f" and {len(trials) - MANY} more" if len(trials) > MANY else ""
    return f"so do {named}{more}" if named else ""


def _not_tried(why: Sequence[Explanation]) -> list[str]:
    """Say what was not tried and what it takes, one line each."""
    obstacles = Counter(each.obstacle for each in why if each.obstacle)
    lines = [f"{count} more that differ, not tried: {obstacle}." for obstacle, count in obstacles.items()]
    wanted = dict.fromkeys(name for each in why for name in each.reruns)
    if wanted:
        listed = ", ".join(f"`--protocol {name}`" for name in wanted)
        lines.append(f"Cannot be tried on stored 8-bit outputs (another LR or SR); re-run with {listed}.")
    return lines


def standing(one: Comparison) -> str:
    """Say what the pair is: "reproduction", "not measured", or why it is no reproduction."""
    if one.measured is None:
        return "not measured" if not one.images else "no finite value"
    return ", ".join(one.reasons) if one.reasons else "reproduction"


def record(one: Comparison) -> Record:
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


def _explanation_record(why: Explanation | None) -> Record:
    """Flatten an explanation for machines; all empty where the numbers agree."""
    change, nearest = (why.change, why.nearest) if why else (None, None)
    return {
        "tolerance": why.tolerance if why else None,
        "explained_by": change.text if change else "",
        "explained_value": change.value if change else None,
        "explained_also": "; ".join(trial.text for trial in why.also) if why else "",
        "explained_numbers": why.support[0] if why else None,
        "differing_numbers": why.support[1] if why else None,
        "nearest": nearest.text if nearest else "",
        "nearest_value": nearest.value if nearest else None,
        "not_explained": why.obstacle if why else "",
        "reruns": "; ".join(why.reruns) if why else "",
    }

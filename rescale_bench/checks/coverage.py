"""How much of what the papers print can be run here, was measured, and came out as printed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Literal

from rescale_bench.api.scales import exact
from rescale_bench.api.specs import parse_spec
from rescale_bench.checks.explanations import within
from rescale_bench.checks.naming import PUBLISHED, MethodName, MetricName, metric_names
from rescale_bench.checks.published import Comparison, Published, compare, named_method
from rescale_bench.checks.published_tables import FORMATS
from rescale_bench.checks.tolerances import Given
from rescale_bench.errors import RescaleBenchError, UnknownNameError
from rescale_bench.machine.printable import encodable
from rescale_bench.tables.model import Record, Row, Table, TableCell, TableColumn
from rescale_bench.tables.rendering import FILE, Screen, markdown_table, plain_table, render_records
from rescale_bench.weights.choice import choose_weights

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.records import Method
    from rescale_bench.api.registry import Registry

Weights = Literal["", "none needed", "here", "absent"]
Known = tuple["Method | None", str]
COUNTS = ("rows", "runnable", "ready", "measured", "alike", "equal")
"""Short words: with them the table fits 80 columns."""
COVERED = (
    "runnable: a method and a metric here can measure the number",
    "ready: it needs no weights, or those that it is of are here",
    "measured: by a run, under any protocol and with any weights",
    "alike: measured under the paper's protocol and with its weights",
    "equal: reproduced, to the last digit printed or as --tolerance says",
)


@dataclass(frozen=True)
class Covered:
    """A published number, and what there is of it here.

    spec: our method, "" where there is none. reason: why it cannot be run, "" where it can. weights: whether those
    that the number is of are on this machine, "" where it cannot be run. measured: a run has a twin of it.
    comparable: one that claims to be the same measurement. reproduced: one of these differs by no more than allowed.
    """

    published: Published
    spec: str
    reason: str
    weights: Weights
    measured: bool
    comparable: bool
    reproduced: bool

    @property
    def counts(self) -> tuple[bool, ...]:
        """Say what it counts for, in the order of COUNTS."""
        ready = self.weights in ("none needed", "here")
        return True, not self.reason, ready, self.measured, self.comparable, self.reproduced


def cover(
    rows: Sequence[Published], registry: Registry, frame: pd.DataFrame | None = None, given: Given | None = None
) -> list[Covered]:
    """Say of every published number what there is of it.

    frame: tidy rows of the runs that count as measured, None for none. given: tolerances by metric.
    """
    twins: dict[Published, list[Comparison]] = {}
    for one in compare(frame, rows, registry) if frame is not None else ():
        if one.measured is not None:
            twins.setdefault(one.published, []).append(one)
    metrics = metric_names()
    ready, known = cache(partial(_weights, registry)), cache(partial(_known, registry))
    covered = []
    for row in rows:
        name = named_method(row)
        reason = _reason(row, name, metrics, known)
        weights: Weights = "" if reason else ready(name.spec, name.weights or PUBLISHED, exact(row.scale))
        found = twins.get(row, [])
        same = [one for one in found if one.reproduction]
        reproduced = any(within(one, given) for one in same)
        covered.append(Covered(row, name.spec, reason, weights, bool(found), bool(same), reproduced))
    return covered


def _reason(row: Published, name: MethodName, metrics: Sequence[MetricName], known: Callable[[str, str], Known]) -> str:
    """Say why a number cannot be measured here, "" where it can. known: see _known."""
    if not name.spec:
        return name.note
    meant = [metric for metric in metrics if metric.fits(row.source, row.metric, name.protocol)]
    if not any(metric.measured for metric in meant):
        return meant[0].note if meant else f"no metric here measures {row.metric}"
    method, lacking = known(name.spec, row.codec)
    if method and exact(row.scale) not in method.scales:
        return f"{name.spec} does not serve this scale"
    return lacking


def _known(registry: Registry, spec: str, codec: str) -> Known:
    """Find a method that was loaded, None where there is none; and what method or codec lack to be run."""
    try:
        method = registry.choose_method(parse_spec(spec)).record
        requires = registry.choose_codec(parse_spec(codec)).record.requires() if codec else ()
    except UnknownNameError:
        return None, "no method or codec here has this name"
    except RescaleBenchError as error:
        return None, str(error)
    return method, "; ".join(requires)


def _weights(registry: Registry, spec: str, tag: str, scale: Decimal) -> Weights:
    """Look for the weights that a published number is of."""
    method = registry.choose_method(parse_spec(spec))
    if not method.record.parts(scale):
        return "none needed"
    try:
        choose_weights(replace(method, weights="" if "@" in spec else tag), scale, registry)
    except RescaleBenchError:
        return "absent"
    return "here"


def coverage_table(covered: Sequence[Covered], runs: bool) -> Table:
    """Count by tables of the papers, all of them last. runs: whether a run was asked about."""
    groups: dict[str, list[Covered]] = {}
    for one in sorted(covered, key=_place):
        groups.setdefault(f"{one.published.source} {one.published.table}", []).append(one)
    shown = len(COUNTS) if runs else COUNTS.index("measured")
    columns = (TableColumn("table", "text", priority=0), *(TableColumn(name) for name in COUNTS[:shown]))
    lines = [_counted(name, members, shown) for name, members in groups.items()]
    if len(groups) > 1:
        lines.append(replace(_counted("all", covered, shown), ruled=True))
    return Table("", columns, tuple(lines))


def _place(one: Covered) -> tuple[str, list[tuple[int, str]]]:
    """Order by paper, and table 9 before table 10."""
    pieces = re.split(r"(\d+)", one.published.table)
    return one.published.source, [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]


def _counted(name: str, members: Sequence[Covered], shown: int) -> Row:
    totals = [sum(column) for column in zip(*(one.counts for one in members), strict=True)]
    return Row((TableCell(name), *(TableCell(str(total), total) for total in totals[:shown])))


def reasons_table(covered: Sequence[Covered]) -> Table:
    """Count what cannot be run by its reason, and name the published methods."""
    counted: Counter[str] = Counter()
    methods: dict[str, dict[str, None]] = {}
    for one in covered:
        if one.reason:
            counted[one.reason] += 1
            methods.setdefault(one.reason, {})[one.published.method] = None
    columns = (TableColumn("rows"), TableColumn("not runnable because", "text"), TableColumn("methods", "text"))
    rows = [
        Row((TableCell(str(count), count), TableCell(reason), TableCell("; ".join(methods[reason]))))
        for reason, count in counted.most_common()
    ]
    return Table("", columns, tuple(rows))


def render_coverage(covered: Sequence[Covered], runs: bool, form: str = "plain", screen: Screen = FILE) -> str:
    """Write the counts and the reasons as text or Markdown, or every number as a record in CSV or JSON.

    Raises UnknownNameError for another format.
    """
    if form not in FORMATS:
        raise UnknownNameError("format", form, FORMATS)
    if form in ("csv", "json"):
        return render_records([_record(one) for one in covered], form)
    reasons = reasons_table(covered)
    table = coverage_table(covered, runs)
    explained = COVERED[: len(table.columns) - 2]
    if form == "markdown":
        notes = "\n".join(f"- {line}" for line in explained)
        return "\n\n".join((markdown_table(table), notes, *[markdown_table(reasons)] * bool(reasons.rows)))
    lines = [f"{row.cells[0].text:>5}  {row.cells[1].text}: {row.cells[2].text}" for row in reasons.rows]
    text = "\n\n".join((plain_table(table, screen), "\n".join(explained), "\n".join(["Not runnable:", *lines])))
    return encodable(text if lines else text.removesuffix("\n\nNot runnable:"), screen.encoding)


def _record(one: Covered) -> Record:
    row = one.published
    return {
        "source": row.source, "table": row.table, "published_method": row.method, "scale": row.scale,
        "dataset": row.dataset, "published_metric": row.metric, "published": row.value, "method": one.spec,
        "runnable": not one.reason, "reason": one.reason, "weights": one.weights, "measured": one.measured,
        "comparable": one.comparable, "reproduced": one.reproduced,
    }  # fmt: skip

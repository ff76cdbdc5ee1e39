"""How the regression gate reports: a table of the worst cells, JUnit XML, GitHub annotations."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from rescale_bench.checks.regression import COMPARED, CellComparison, CheckResult
from rescale_bench.tables.model import Row, Table, TableCell, TableColumn, scale_cell
from rescale_bench.tables.rendering import FILE, Screen, plain_table

COLUMNS = (
    TableColumn("method", "text", priority=0),
    TableColumn("data set", "text", priority=5),
    TableColumn("image", "text", priority=0),
    TableColumn("scale", priority=0),
    TableColumn("metric", "text", priority=0),
    TableColumn("baseline", priority=3),
    TableColumn("current", priority=2),
    TableColumn("worse by", priority=1),
    TableColumn("allowed", priority=4),
)
WORST = 20
ANNOTATIONS = 10
"""GitHub shows ten errors of a step."""


def summary(result: CheckResult) -> str:
    """Say in one line what the gate found."""
    bad = result.regressions
    lost = sum(1 for one in bad if one.outcome == "lost")
    parts = [
        f"{result.count(*COMPARED)} values compared",
        f"{len(bad)} regressed" + (f" (of these {lost} lost)" if lost else ""),
        f"{result.count('better')} better",
    ]
    for outcome in ("not comparable", "not compared"):
        if count := result.count(outcome):
            parts.append(f"{count} {outcome}")
    return ", ".join(parts)


def report(result: CheckResult, limit: int = WORST, screen: Screen = FILE) -> str:
    """Write the summary, the worst cells as a plain table, and why cells could not be compared."""
    blocks = [summary(result)]
    if result.regressions:
        blocks.append(worst_table(result, limit, screen))
    reasons = Counter(one.reason for one in result.of("not comparable", "not compared"))
    if reasons:
        blocks.append("\n".join(f"{count} values not compared: {reason}" for reason, count in reasons.most_common()))
    notes = Counter(f"{one.method}: {one.note}" for one in result.judged if one.note and one.outcome in COMPARED)
    if notes:
        blocks.append("\n".join(f"note: {note} ({count} values)" for note, count in sorted(notes.items())))
    return "\n\n".join(blocks)


def worst_table(result: CheckResult, limit: int = WORST, screen: Screen = FILE) -> str:
    """Tabulate the regressed cells, worst first: lost ones, then by how often the tolerance was exceeded."""
    bad = result.regressions
    text = plain_table(Table("", COLUMNS, tuple(map(_row, bad[:limit]))), screen)
    return text + (f"\n… and {len(bad) - limit} more" if len(bad) > limit else "")


def _row(one: CellComparison) -> Row:
    numbers = [TableCell(_number(value), value) for value in (one.baseline, one.current, one.worse, one.allowed)]
    if one.outcome == "lost":
        numbers[1:] = [TableCell("lost"), TableCell(one.reason), TableCell("")]
    words = [TableCell(text) for text in (one.method, one.row["dataset"], one.row["image"])]
    place = [scale_cell(one.row["scale"]), TableCell(one.row["metric"])]
    return Row((*words, *place, *numbers), one.method, one.row["scale"])


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def describe(one: CellComparison) -> str:
    """Describe one cell in words: "butterfly: 30.1 after 30.4 (worse by 0.3, allowed 0.01)"."""
    if one.outcome == "lost":
        return f"{one.row['image']}: lost, {one.reason} (baseline {_number(one.baseline)})"
    baseline, current, worse, allowed = map(_number, (one.baseline, one.current, one.worse, one.allowed))
    return f"{one.row['image']}: {current} after {baseline} (worse by {worse}, allowed {allowed})"


def by_group(comparisons: Sequence[CellComparison]) -> dict[tuple[str, str], list[CellComparison]]:
    """Gather comparisons by method and grid point, in the order given."""
    found: dict[tuple[str, str], list[CellComparison]] = {}
    for one in comparisons:
        found.setdefault((one.method, one.group), []).append(one)
    return found


def junit(result: CheckResult, name: str = "rescale-bench check") -> str:
    """Write JUnit XML: one test case per method and grid point, its regressed cells in the failure's text.

    Grid points without any comparable cell are skipped cases.
    """
    groups = by_group(result.comparisons)
    suite = ElementTree.Element("testsuite", name=name)
    failures = skipped = 0
    for (method, group), members in sorted(groups.items()):
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(method), name=_xml(group), time="0")
        bad = [one for one in members if one.bad]
        if bad:
            failures += 1
            failure = ElementTree.SubElement(case, "failure", type="regression", message=_xml(_headline(bad, members)))
            failure.text = _xml("\n".join(describe(one) for one in bad))
        elif not any(one.outcome in ("same", "better") for one in members):
            skipped += 1
            ElementTree.SubElement(case, "skipped", message=_xml(members[0].reason or members[0].outcome))
    counts = {"tests": len(groups), "failures": failures, "errors": 0, "skipped": skipped}
    suite.attrib.update({key: str(value) for key, value in counts.items()})
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ['<?xml version="1.0" encoding="UTF-8"?>\n', "\n"]
    )


def _headline(bad: Sequence[CellComparison], members: Sequence[CellComparison]) -> str:
    return f"{len(bad)} of {len(members)} images regressed; {describe(bad[0])}"


def _xml(text: str) -> str:
    """Drop the characters that XML 1.0 cannot hold, escaped or not."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def github_annotations(result: CheckResult, limit: int = ANNOTATIONS) -> str:
    """Write GitHub workflow commands, one `::error` per regressed grid point, at most `limit`, worst first.

    Where there are more, the last one counts the rest. Empty without regressions.
    """
    groups = list(by_group(result.regressions).items())
    shown = groups if len(groups) <= limit else groups[: limit - 1]
    lines = [
        _command(f"Regression: {method} on {group}", f"{len(bad)} images regressed; worst: {describe(bad[0])}")
        for (method, group), bad in shown
    ]
    if len(shown) < len(groups):
        lines.append(_command("More regressions", f"{len(groups) - len(shown)} further groups; {summary(result)}"))
    return "\n".join(lines)


def _command(title: str, message: str) -> str:
    return f"::error title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

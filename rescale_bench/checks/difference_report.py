"""How a comparison of two runs is written: plain tables for people, JSON for machines."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rescale_bench.checks.differences import OneSided, RunComparison, RunDifference
from rescale_bench.machine.printable import plural
from rescale_bench.runs.schema import TITLES
from rescale_bench.tables.model import MISSING, Row, Table, TableCell, TableColumn, difference_cell, scale_cell, signed
from rescale_bench.tables.rendering import FILE, Screen, json_value, plain_table

NAMED = 8
"""How many images of one line are named; JSON names all."""
COLUMNS = (
    TableColumn("method", "text", priority=0),
    TableColumn("data set", "text", priority=1),
    TableColumn("scale", priority=0),
    TableColumn("metric", "text", priority=0),
    TableColumn("pairs", priority=4),
    TableColumn("mean B − A", priority=0),
    TableColumn("largest", priority=3),
    TableColumn("at image", "text"),
    TableColumn("equal", priority=2),
    TableColumn("remarks", "text"),
)


def summarise_runs(found: RunComparison) -> str:
    """Say in one line how much the two runs share."""
    parts = [f"{found.compared} numbers in both runs: {found.compared - found.changed} equal bit for bit"]
    parts.append(f"{found.changed} not")
    unlike = sum(one.values for one in found.differences if one.differs)
    if unlike:
        parts.append(f"{unlike} not like with like (≠)")
    clocks = sum(one.values for one in found.differences if not one.repeatable)
    if clocks:
        parts.append(f"{clocks} of clocks and memory not counted")
    text = ", ".join(parts)
    cells: Counter[str] = Counter()
    for one in found.one_sided:
        if not one.metrics:
            cells[one.side] += len(one.images)
    return f"{text}; {cells['A']} cells only in A, {cells['B']} only in B"


def render_comparison(found: RunComparison, a: str, b: str, screen: Screen = FILE) -> str:
    """Write the summary, what is compared like with like, then the rest under its mark, then one-sided cells.

    a, b: names of the two runs.
    """
    blocks = [f"A: {a}\nB: {b}", summarise_runs(found)]
    if not found.differences:
        blocks.append("No cell is in both runs.")
    blocks += _tables([one for one in found.differences if not one.differs], "", screen)
    unlike: dict[tuple[str, ...], list[RunDifference]] = {}
    for one in found.differences:
        if one.differs:
            unlike.setdefault(tuple(name for name, _ in one.differs), []).append(one)
    for names, members in unlike.items():
        blocks += _tables(
            members, f"≠ NOT LIKE WITH LIKE: another {' and '.join(TITLES[name] for name in names)} · ", screen
        )
    if found.one_sided:
        blocks.append("\n".join(_alone(one) for one in found.one_sided))
    return "\n\n".join(blocks)


def _tables(members: Sequence[RunDifference], mark: str, screen: Screen) -> list[str]:
    sections: dict[tuple[str, str], list[RunDifference]] = {}
    for one in members:
        sections.setdefault((one.place.protocol, one.place.codec), []).append(one)
    return [
        f"{mark}protocol {protocol or MISSING} · codec {codec or MISSING}\n"
        + plain_table(Table("", COLUMNS, tuple(map(_row, rows))), screen)
        for (protocol, codec), rows in sections.items()
    ]


def _row(one: RunDifference) -> Row:
    place, pairs = one.place, one.mean.n if one.mean else 0
    unit = f" [{one.unit}]" if one.unit else ""
    # A plain 0 says that nothing differs, not that a difference rounds to it.
    same = one.mean is not None and one.largest == 0
    mean = TableCell("0", 0) if same else difference_cell(one.mean, one.decimals)
    largest = "" if one.largest is None else signed(one.largest, one.decimals) if one.largest else "0"
    return Row(
        (
            TableCell(("≠ " if one.differs else "") + place.method), TableCell(place.dataset), scale_cell(place.scale),
            TableCell(place.metric + unit), TableCell(str(pairs), pairs), mean,
            TableCell(largest, one.largest), TableCell(one.largest_image),
            TableCell(f"{one.equal}/{one.values}", one.equal), TableCell(_remarks(one)),
        ),
        place.method,
        place.scale,
    )  # fmt: skip


def _remarks(one: RunDifference) -> str:
    parts = [f"{TITLES[name]} {sides}" for name, sides in one.differs if sides]
    if one.infinite:
        parts.append(f"{one.infinite} infinite, left out of the mean")
    if one.lost:
        parts.append(f"no value in B: {_listed(one.lost)}")
    if one.gained:
        parts.append(f"no value in A: {_listed(one.gained)}")
    if not one.values:
        parts.append("no value in either")
    if not one.repeatable:
        parts.append("clock or memory")
    return "; ".join(parts)


def _alone(one: OneSided) -> str:
    place = one.place
    where = f"{place.method}, {place.dataset} ×{place.scale} ({place.protocol}, {place.codec})"
    count = plural(len(one.images), "cell")
    what = f"{', '.join(one.metrics)} of {count}" if one.metrics else count
    return f"only in {one.side}: {where}: {what}: {_listed(one.images)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f", … and {more} more" if more > 0 else "")


def comparison_json(found: RunComparison, a: str, b: str) -> str:
    """Write a comparison as one JSON object; infinite numbers are text ("inf"), undefined ones null."""
    content = {
        "a": a,
        "b": b,
        "numbers": found.compared,
        "equal": found.compared - found.changed,
        "different": found.changed,
        "numbers_only_on_one_side": found.alone,
        "differences": [_record(one) for one in found.differences],
        "one_sided": [{**_flat(one), "cells": len(one.images)} for one in found.one_sided],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _record(one: RunDifference) -> dict[str, Any]:
    mean = one.mean
    numbers = {
        "mean": mean.mean if mean else None,
        "low": mean.low if mean else None,
        "high": mean.high if mean else None,
        "largest": one.largest,
    }
    return {
        **_flat(one),
        "differs": dict(one.differs),
        "pairs": mean.n if mean else 0,
        **{name: json_value(value) for name, value in numbers.items()},
    }


def _flat(one: RunDifference | OneSided) -> dict[str, Any]:
    content = dataclasses.asdict(one)
    return {**content.pop("place"), **content}

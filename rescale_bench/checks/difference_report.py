"""How a comparison of two runs is written: plain tables for people, JSON for machines."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rescale_bench.checks.differences import OneSided, RunComparison, RunDifference
from rescale_bench.runs.schema import TITLES
from rescale_bench.statistics.paired import decimals_for

NAMED = 8
"""How many images of one line are named; JSON names all."""
HEAD = ("method", "data set", "scale", "metric", "pairs", "mean B − A", "largest", "at image", "equal", "remarks")
RIGHT = ("scale", "pairs", "mean B − A", "largest", "equal")


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


def render_comparison(found: RunComparison, a: str, b: str) -> str:
    """Write the summary, what is compared like with like, then the rest under its mark, then one-sided cells.

    a, b: names of the two runs.
    """
    blocks = [f"A: {a}\nB: {b}", summarise_runs(found)]
    if not found.differences:
        blocks.append("No cell is in both runs.")
    blocks += _tables([one for one in found.differences if not one.differs], "")
    unlike: dict[tuple[str, ...], list[RunDifference]] = {}
    for one in found.differences:
        if one.differs:
            unlike.setdefault(tuple(name for name, _ in one.differs), []).append(one)
    for names, members in unlike.items():
        blocks += _tables(members, f"≠ NOT LIKE WITH LIKE: another {' and '.join(TITLES[name] for name in names)} · ")
    if found.one_sided:
        blocks.append("\n".join(_alone(one) for one in found.one_sided))
    return "\n\n".join(blocks)


def _tables(members: Sequence[RunDifference], mark: str) -> list[str]:
    from tabulate import tabulate

    sections: dict[tuple[str, str], list[RunDifference]] = {}
    for one in members:
        sections.setdefault((one.place.protocol, one.place.codec), []).append(one)
    return [
        f"{mark}protocol {protocol or '–'} · codec {codec or '–'}\n"
        + tabulate(
            [_line(one) for one in rows],
            headers=HEAD,
            disable_numparse=True,
            colalign=["right" if name in RIGHT else "left" for name in HEAD],
        )
        for (protocol, codec), rows in sections.items()
    ]


def _line(one: RunDifference) -> list[str]:
    place = one.place
    mean = one.mean
    largest = "" if one.largest is None else _signed(one.largest, one.decimals)
    return [
        ("≠ " if one.differs else "") + place.method, place.dataset, f"×{place.scale}", _heading(one),
        str(mean.n if mean else 0), _mean(one), largest, one.largest_image, f"{one.equal}/{one.values}", _remarks(one),
    ]  # fmt: skip


def _heading(one: RunDifference) -> str:
    return f"{one.place.metric} [{one.unit}]" if one.unit else one.place.metric


def _mean(one: RunDifference) -> str:
    if one.mean is None:
        return "–"
    if one.equal == one.values:
        return "0"
    digits = decimals_for(one.mean.half_width, one.decimals)
    text = _signed(one.mean.mean, digits)
    if one.mean.n < 2:
        return f"{text} (n = 1)"
    return f"{text} ± {_signed(one.mean.half_width, digits).lstrip('+')}"


def _signed(value: float, digits: int) -> str:
    """Print with a sign; a small number keeps a digit instead of turning into a zero that it is not."""
    if math.isinf(value):
        return "+∞" if value > 0 else "-∞"
    text = f"{value:+.{digits}f}"
    if value == 0:
        return "0"
    return f"{value:+.1e}" if float(text) == 0 else text


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
    count = f"{len(one.images)} cell{'s' if len(one.images) > 1 else ''}"
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
    return {
        **_flat(one),
        "differs": dict(one.differs),
        "pairs": mean.n if mean else 0,
        "mean": mean.mean if mean else None,
        "low": _number(mean.low if mean else None),
        "high": _number(mean.high if mean else None),
        "largest": _number(one.largest),
    }


def _flat(one: RunDifference | OneSided) -> dict[str, Any]:
    content = dataclasses.asdict(one)
    return {**content.pop("place"), **content}


def _number(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)

"""The regression gate: compare a run with a stored one cell by cell, never by means."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from rescale_bench.checks.tolerances import Given, check_names, tolerance_of
from rescale_bench.runs import schema
from rescale_bench.runs.schema import KEY, LABEL, plain_text, row_label
from rescale_bench.runs.sets import current
from rescale_bench.runs.table import complete

if TYPE_CHECKING:
    import pandas as pd

GRID = tuple(name for name in KEY if name != "image")
"""What makes two rows comparable, apart from the image: one grid point."""
IDENTITY = (*GRID, "image")
CONTENT = tuple(name for name in schema.CONTENT if name not in ("cell", "weights_sha256"))
"""What must be equal as well; where both runs state it and differ, the numbers mean different things.

Weights may have been trained anew, and code may have another version: that is what the gate is for."""
READ = (*IDENTITY, *schema.CONTENT, "value", "status", "error", *schema.METRIC)
ROUNDING = 1e-12
"""Relative slack, so that 30.40 − 30.39 does not exceed a tolerance of 0.01 by its last bit."""

Outcome = Literal["same", "better", "regressed", "lost", "gained", "no value", "not comparable", "not compared"]


@dataclass(frozen=True)
class CellComparison:
    """One cell and metric in both runs.

    worse: how far the current value is behind, in the metric's unit (negative: better), absolute change where the
    metric has no direction; infinite where a finite value stands against an infinite one.
    allowed: the tolerance in the same unit. reason: for lost and not comparable cells. note: what else differs.
    """

    row: Mapping[str, str]
    outcome: Outcome
    baseline: float = math.nan
    current: float = math.nan
    worse: float = math.nan
    allowed: float = math.nan
    reason: str = ""
    note: str = ""

    @property
    def bad(self) -> bool:
        """Whether this cell fails the gate."""
        return self.outcome in ("regressed", "lost")

    @property
    def method(self) -> str:
        """Name the method with its options and weights, and how it ran where that is not as usual."""
        return row_label([self.row[name] for name in LABEL])

    @property
    def group(self) -> str:
        """Name the grid point without method and image: "Set5 ×2 psnr_y (rgb8)"."""
        row = self.row
        codec = f", {row['codec']}" if row["codec"] not in ("", "none", "png") else ""
        return f"{row['dataset']} ×{row['scale']} {row['metric']} ({row['protocol']}{codec})"

    @property
    def severity(self) -> float:
        """Order the worst first: lost cells, then by how many times the tolerance was exceeded."""
        if self.outcome == "lost":
            return math.inf
        return self.worse / self.allowed if self.allowed > 0 else math.copysign(1e300, self.worse) * (self.worse != 0)


@dataclass(frozen=True)
class CheckResult:
    """What the gate found. comparisons: one per cell and metric of the baseline, worst first."""

    comparisons: tuple[CellComparison, ...]

    def of(self, *outcomes: Outcome) -> list[CellComparison]:
        """Pick comparisons by outcome."""
        return [one for one in self.comparisons if one.outcome in outcomes]

    @property
    def compared(self) -> list[CellComparison]:
        """What took part: cells with a value in the baseline that the current run covers."""
        return self.of("same", "better", "regressed", "lost")

    @property
    def regressions(self) -> list[CellComparison]:
        """Cells that are worse than allowed, or lost."""
        return [one for one in self.comparisons if one.bad]

    @property
    def exit_status(self) -> int:
        """0 nothing is worse, 3 regression found, 4 nothing comparable."""
        if self.regressions:
            return 3
        return 0 if self.compared else 4


def check(current: pd.DataFrame, baseline: pd.DataFrame, tolerances: Given | None = None) -> CheckResult:
    """Compare each cell and metric of a baseline with the same one of the current run.

    Both are tidy tables. A cell is lost when the baseline has a value and the current run, which covers that
    method, data set, scale and metric, has none (failed, undefined or missing). Grid points that the current run
    does not cover at all are "not compared". Clocks and memory are skipped unless a tolerance names them.
    Raises UnknownNameError for a tolerance whose metric neither run holds.
    """
    given = tolerances or {}
    mine, theirs = index(current), index(baseline)
    check_names(given, {row["metric"] for row in (*mine.values(), *theirs.values())})
    covered = {key[: len(GRID)] for key in mine}
    found = [
        _compare(row, mine.get(key), key[: len(GRID)] in covered, given)
        for key, row in theirs.items()
        if _wanted(row, given)
    ]
    return CheckResult(tuple(sorted(found, key=_order)))


def _order(one: CellComparison) -> tuple[bool, float, tuple[str, ...]]:
    severity = one.severity
    return not one.bad, math.inf if math.isnan(severity) else -severity, tuple(one.row[name] for name in IDENTITY)


def _wanted(row: Mapping[str, Any], given: Given) -> bool:
    if row["metric"] in given or row["metric"].partition(":")[0] in given:
        return True
    return repeatable(row)


def repeatable(row: Mapping[str, Any]) -> bool:
    """Tell whether the metric of a row gives the same number again, as clocks and memory do not."""
    return str(row["repeatable"]).lower() not in ("false", "0", "0.0")


def index(frame: pd.DataFrame) -> dict[tuple[str, ...], dict[str, Any]]:
    """Key the rows by identity; of a cell measured twice the later row counts."""
    return {tuple(row[name] for name in IDENTITY): row for row in plain_rows(frame)}


def plain_rows(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Give the columns READ of each row: the value as it is, everything else as text ("" where it is missing)."""
    frame = current(complete(frame))
    for values in zip(*(frame[name].tolist() for name in READ), strict=True):
        yield {name: value if name == "value" else plain_text(value) for name, value in zip(READ, values, strict=True)}


def _compare(then: Mapping[str, Any], now: Mapping[str, Any] | None, covered: bool, given: Given) -> CellComparison:
    row = {name: cast(str, then[name]) for name in READ if name != "value"}
    if not scored(then):
        return CellComparison(row, "gained" if now and scored(now) else "no value")
    before = float(then["value"])
    if not covered:
        return CellComparison(row, "not compared", before, reason="the current run does not cover it")
    if now is None:
        return CellComparison(row, "lost", before, reason="missing from the current run")
    differs = [name for name in CONTENT if then[name] and now[name] and then[name] != now[name]]
    if differs:
        return CellComparison(row, "not comparable", before, reason=f"another {' and '.join(differs)}")
    note = "" if then["weights_sha256"] == now["weights_sha256"] else "other weights file"
    if not scored(now):
        status = "undefined" if now["status"] in ("ok", "undefined") else now["status"]
        reason = f"{status}: {now['error']}" if now["error"] else status
        return CellComparison(row, "lost", before, reason=reason, note=note)
    return _judge(row, before, float(now["value"]), given, note)


def scored(row: Mapping[str, Any]) -> bool:
    """Tell whether a row of index() has a value, an infinite one included."""
    return row["status"] == "ok" and row["value"] is not None and not math.isnan(float(row["value"]))


def _judge(row: Mapping[str, str], before: float, after: float, given: Given, note: str) -> CellComparison:
    allowed = tolerance_of(row["metric"], given, row["tolerance"]).allowed(before)
    worse = _worsening(before, after, row["direction"])
    slack = ROUNDING * max((abs(value) for value in (before, after) if math.isfinite(value)), default=0.0)
    if worse > allowed + slack:
        outcome: Outcome = "regressed"
    else:
        outcome = "better" if worse < -(allowed + slack) else "same"
    return CellComparison(row, outcome, before, after, worse, allowed, note=note)


def _worsening(before: float, after: float, direction: str) -> float:
    if before == after:  # covers two infinities of one sign, whose difference has no value
        return 0.0
    change = after - before
    return {"up": -change, "down": change}.get(direction, abs(change))

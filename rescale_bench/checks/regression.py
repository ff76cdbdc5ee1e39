"""The regression gate: compare a run with a stored one cell by cell, never by means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from rescale_bench.checks.tolerances import Given, check_names, tolerance_of
from rescale_bench.runs import schema
from rescale_bench.runs.schema import KEY, LABEL, row_label
from rescale_bench.runs.sets import current
from rescale_bench.runs.table import as_text, complete
from rescale_bench.tables.rows import distinct

if TYPE_CHECKING:
    import numpy as np
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


COMPARED: tuple[Outcome, ...] = ("same", "better", "regressed", "lost")
"""What took part: cells with a value in the baseline that the current run covers."""


@dataclass(frozen=True)
class CheckResult:
    """What the gate found, one comparison per cell and metric of the baseline.

    judged: those that were looked at one by one, worst first. equal: rows of the baseline whose value the current run
    has too, to the last bit and of the same content; they are counted, and become comparisons when one is asked for.
    given: tolerances.
    """

    judged: tuple[CellComparison, ...]
    equal: pd.DataFrame
    given: Given

    @cached_property
    def comparisons(self) -> tuple[CellComparison, ...]:
        """List all, worst first."""
        same = (_compare(row, row, True, self.given) for row in _records(self.equal))
        return tuple(sorted((*self.judged, *same), key=_order))

    def of(self, *outcomes: Outcome) -> list[CellComparison]:
        """Pick comparisons by outcome."""
        return [one for one in (self.comparisons if "same" in outcomes else self.judged) if one.outcome in outcomes]

    def count(self, *outcomes: Outcome) -> int:
        """Count comparisons by outcome."""
        return sum(one.outcome in outcomes for one in self.judged) + len(self.equal) * ("same" in outcomes)

    @property
    def regressions(self) -> list[CellComparison]:
        """Cells that are worse than allowed, or lost."""
        return [one for one in self.judged if one.bad]

    @property
    def exit_status(self) -> int:
        """0 nothing is worse, 3 regression found, 4 nothing comparable."""
        if self.regressions:
            return 3
        return 0 if self.count(*COMPARED) else 4


def check(current: pd.DataFrame, baseline: pd.DataFrame, tolerances: Given | None = None) -> CheckResult:
    """Compare each cell and metric of a baseline with the same one of the current run.

    Both are tidy tables. A cell is lost when the baseline has a value and the current run, which covers that
    method, data set, scale and metric, has none (failed, undefined or missing). Grid points that the current run
    does not cover at all are "not compared". Clocks and memory are skipped unless a tolerance names them.
    Raises UnknownNameError for a tolerance whose metric neither run holds.
    """
    import numpy as np

    given = tolerances or {}
    rows, count = joined_rows(current, baseline)
    check_names(given, rows["metric"].unique())
    keys, first = distinct(rows, IDENTITY)
    # Of a cell measured twice the later row counts.
    mine, theirs = (np.full(len(first), -1) for _ in range(2))
    mine[keys[:count]] = np.arange(count)
    theirs[keys[count:]] = np.arange(count, len(rows))
    kinds, first = distinct(rows, ("metric", "repeatable"))
    wanted = np.array([_wanted(row, given) for row in _records(rows.iloc[first])], dtype=bool)[kinds]
    then = np.sort(theirs[theirs >= 0])
    then = then[wanted[then]]
    now = mine[keys[then]]
    grid, _ = distinct(rows, GRID)
    covered = np.isin(grid[then], grid[mine[mine >= 0]])
    equal = (now >= 0) & good(rows)[then] & good(rows)[now]
    equal &= rows["value"].to_numpy()[then] == rows["value"].to_numpy()[now]
    for name in (*CONTENT, "weights_sha256"):
        codes = rows[name].cat.codes.to_numpy()
        equal &= codes[then] == codes[now]
    before, after = _records(rows.iloc[then[~equal]]), _records(rows.iloc[now[~equal]])
    judged = [
        _compare(row, other if place >= 0 else None, bool(within), given)
        for row, other, place, within in zip(before, after, now[~equal], covered[~equal], strict=True)
    ]
    return CheckResult(tuple(sorted(judged, key=_order)), rows.iloc[then[equal]], given)


def joined_rows(a: pd.DataFrame, b: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Put two tidy tables below each other, and say how many rows the first has.

    Gives the columns READ: the value as a number, everything else as categories of text ("" where it is missing).
    """
    import numpy as np
    import pandas as pd
    from pandas.api.types import union_categoricals

    tables = [current(complete(frame)) for frame in (a, b)]
    columns: dict[str, Any] = {
        name: union_categoricals([as_text(table[name]) for table in tables]) for name in READ if name != "value"
    }
    values = [pd.to_numeric(table["value"]).to_numpy(dtype=np.float64) for table in tables]
    return pd.DataFrame({**columns, "value": np.concatenate(values)}), len(tables[0])


def good(rows: pd.DataFrame) -> np.ndarray:
    """Tell which rows have a value, an infinite one included; (n,) of bool."""
    import numpy as np

    good: np.ndarray = (rows["status"] == "ok").to_numpy() & ~np.isnan(rows["value"].to_numpy())
    return good


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Give rows one by one, as dictionaries."""
    columns = [rows[name].tolist() for name in READ]
    return [dict(zip(READ, values, strict=True)) for values in zip(*columns, strict=True)]


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
    """Tell whether a row has a value, an infinite one included."""
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

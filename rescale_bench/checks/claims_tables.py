"""Print the ledger of claims: a table of verdicts for each protocol, then what each claim says and what is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rescale_bench.checks.claims_ledger import Verdict
from rescale_bench.statistics.paired import PairedDifference, decimals_for
from rescale_bench.tables.model import (
    MISSING,
    Leaderboard,
    Record,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    number,
    paired_text,
)
from rescale_bench.tables.scores import Setting

COLUMNS = (
    TableColumn("claim", "text", priority=0),
    TableColumn("verdict", "text", priority=0),
    TableColumn("effect", priority=0),
    TableColumn("wanted", priority=5),
    TableColumn("at", "text", priority=3),
    TableColumn("images", priority=2),
    TableColumn("weights", "text", priority=1),
    TableColumn("p", priority=4),
)
EXPLAINED = (
    "effect: mean over the images ± half its 95 % t-interval, of the part that decides (the weakest, or the clearest "
    "failure); p: two-sided, against what is wanted, after Holm over all verdicts."
)
SMALL = (
    "weights: tag, and time of training. What weights with less training than the paper's contradict is open; upheld "
    "means upheld at this budget."
)
MORE = "`--only NAMES` says what each of them states and lacks; `--commands` prints the runs that they need."


def ledger(verdicts: Sequence[Verdict], brief: bool = False) -> Leaderboard:
    """Lay verdicts out for rescale_bench.tables.rendering.render: protocols never share a table.

    brief: only name the claims that have no rows.
    """
    tested: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.part:
            tested.setdefault(verdict.protocol, []).append(verdict)
    sections = [_section(name, members) for name, members in tested.items()]
    untested = [_statement(verdict) for verdict in verdicts if not verdict.part]
    open_count = len(untested)
    if untested and brief:
        names = dict.fromkeys(verdict.claim.name for verdict in verdicts if not verdict.part)
        untested = [f"{', '.join(names)}.", MORE]
    if untested:
        sections.append(Section(Setting("", "", f"Open for want of rows: {open_count}", ""), (), tuple(untested)))
    return Leaderboard(tuple(sections), tuple(map(_record, verdicts)))


def counted(verdicts: Sequence[Verdict]) -> str:
    """Count verdicts in one line."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    claims = len({verdict.claim.name for verdict in verdicts})
    outcomes = ", ".join(f"{counts[name]} {name}" for name in ("upheld", "contradicted", "open"))
    more = f" ({len(verdicts)} verdicts)" if len(verdicts) > claims else ""
    return f"{claims} claim{'s' * (claims != 1)}{more}: {outcomes}"


def _section(protocol: str, verdicts: Sequence[Verdict]) -> Section:
    order = ("upheld", "contradicted", "open")
    rows = tuple(_row(verdict) for verdict in sorted(verdicts, key=lambda verdict: order.index(verdict.outcome)))
    said = dict.fromkeys(_statement(verdict) for verdict in verdicts)
    trained = [SMALL] * any(verdict.weights for verdict in verdicts)
    name = f"Claims · protocol {protocol}" if protocol else "Claims"
    return Section(Setting("", "", name, ""), (Table("", COLUMNS, rows),), (EXPLAINED, *trained, *said))


def _row(verdict: Verdict) -> Row:
    part = verdict.part
    if part is None:
        return Row(tuple(TableCell("") for _ in COLUMNS))
    at = part.at + (f" (of {verdict.parts})" if verdict.parts > 1 else "")
    budget = f" ({verdict.budget})" if verdict.budget else ""
    return Row((
        TableCell(verdict.claim.name), TableCell(verdict.outcome), TableCell(effect_text(verdict), part.found.mean),
        TableCell(verdict.claim.bounds), TableCell(at), TableCell(str(part.found.n), part.found.n),
        TableCell(verdict.weights + budget), TableCell(_p(verdict.p), verdict.p),
    ))  # fmt: skip


def verdict_texts(verdict: Verdict) -> dict[str, str]:
    """Give the texts of a verdict's row by column; empty without rows."""
    cells = _row(verdict).cells if verdict.part else ()
    return {column.name: cell.text for column, cell in zip(COLUMNS, cells, strict=False)}


def effect_text(verdict: Verdict) -> str:
    """Write the effect of the part that decides, with its interval and unit."""
    if verdict.part is None:
        return MISSING
    found, about = verdict.part.found, verdict.about
    decimals = about.decimals if about else 3
    if verdict.claim.test == "ratio":
        low, high = (f"{math.exp(end):.3g}" for end in (found.low, found.high))
        return f"{math.exp(found.mean):.3g}" + (f" ({low} to {high})" if low != high else "")
    text = paired_text(found, decimals) if verdict.claim.test != "value" else _value_text(found, decimals)
    return f"{text} {about.unit}" if about and about.unit else text


def _value_text(found: PairedDifference, decimals: int) -> str:
    digits = max(decimals, decimals_for(found.half_width, decimals)) if found.half_width else decimals
    return f"{number(found.mean, digits)} ± {number(found.half_width, digits)}"


def _statement(verdict: Verdict) -> str:
    claim = verdict.claim
    reason = f" Open: {verdict.reason}." if verdict.reason else ""
    return f"{claim.name}: {claim.statement} [{claim.source}]{reason}"


def _p(value: float | None) -> str:
    if value is None:
        return MISSING
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def _record(verdict: Verdict) -> Record:
    claim, part, about = verdict.claim, verdict.part, verdict.about
    turn = math.exp if claim.test == "ratio" else float
    mean, low, high = (part.found.mean, part.found.low, part.found.high) if part else (None, None, None)
    return {
        "claim": claim.name, "statement": claim.statement, "source": claim.source, "verdict": verdict.outcome,
        "reason": verdict.reason, "protocol": verdict.protocol, "weights": verdict.weights, "budget": verdict.budget,
        "test": claim.test, "methods": ", ".join(claim.methods), "against": ", ".join(claim.against),
        "metric": " + ".join(claim.metrics), "codec": claim.codec, "above": _finite(claim.above),
        "below": _finite(claim.below), "at": part.at if part else "", "parts": verdict.parts,
        "images": part.found.n if part else 0, "effect": None if mean is None else turn(mean),
        "low": None if low is None else turn(low), "high": None if high is None else turn(high),
        "unit": about.unit if about and claim.test != "ratio" else "", "p_holm": verdict.p, "run": claim.command(),
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""The page of the claims: each statement in plain words, and what the rows of the site say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescale_bench import checks
from rescale_bench.checks import Claim, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

GROUPS = {
    "upheld": ("Upheld", "Each part of the statement holds, beyond chance."),
    "contradicted": ("Contradicted", "A part of the statement fails, beyond chance."),
    "open": ("Open", "The rows neither show it nor refute it: too few images, or weights with little training."),
    "": ("Not measured", "No rows of this site test these. The command under each of them measures what they need."),
}
"""Outcome ("" for a claim without rows) → title of its part of the page, and what it means."""
FACTS = {"effect": "Effect", "wanted": "Wanted", "at": "Where", "images": "Images", "weights": "Weights", "p": "p"}
"""Column of the ledger → what the page calls it."""


@dataclass(frozen=True)
class Judged:
    """A claim, and the verdicts on it: one for each set of weights and protocol."""

    claim: Claim
    verdicts: tuple[Verdict, ...]

    @property
    def outcome(self) -> str:
        """Give the first of upheld, contradicted and open that one of its verdicts is; "" where it has no rows."""
        held = {verdict.outcome for verdict in self.verdicts if verdict.part}
        return next((name for name in GROUPS if name in held), "")

    @property
    def anchor(self) -> str:
        """Give the id of its article."""
        return "-".join(self.claim.name.split())


def judged_claims(rows: pd.DataFrame, registry: Registry) -> tuple[Judged, ...]:
    """Judge the shipped claims and those of plugins; empty where the rows test none of them."""
    files = [checks.shipped_claims(), *(found.file for found in registry.claims.values())]
    claims = checks.read_claims(files, registry)
    verdicts = checks.judge_claims(rows, claims, registry)
    of: dict[str, list[Verdict]] = {claim.name: [] for claim in claims}
    for verdict in verdicts:
        of[verdict.claim.name].append(verdict)
    tested = any(verdict.part for verdict in verdicts)
    return tuple(Judged(claim, tuple(of[claim.name])) for claim in claims) if tested else ()


def claims_page(judged: Sequence[Judged], link: Callable[[str], str]) -> dict[str, Any]:
    """Say what the page says. link: the page of a method, "" without one."""
    groups = []
    for outcome, (title, lead) in GROUPS.items():
        members = [_article(one, link) for one in judged if one.outcome == outcome]
        if members:
            groups.append({"title": title, "lead": lead, "claims": members})
    protocols = {verdict.protocol for one in judged for verdict in one.verdicts} - {""}
    return {"groups": groups, "count": len(judged), "protocols": ", ".join(sorted(protocols))}


def claims_about(judged: Sequence[Judged], method: str) -> Iterator[Mapping[str, str]]:
    """List the claims with rows that are about a method: statement, outcome and anchor."""
    for one in judged:
        if one.outcome and method in map(bare_name, (*one.claim.methods, *one.claim.against)):
            yield {"statement": one.claim.statement, "outcome": one.outcome, "anchor": one.anchor}


def bare_name(name: str) -> str:
    """Cut options and weights off a method's name: "irn:z=zero" and "irn [mine]" are irn."""
    return name.partition(" [")[0].partition(":")[0]


def _article(one: Judged, link: Callable[[str], str]) -> dict[str, Any]:
    claim = one.claim
    methods = dict.fromkeys((*claim.methods, *claim.against))
    return {
        "name": claim.name, "anchor": one.anchor, "statement": claim.statement, "source": claim.source,
        "methods": [(method, link(method)) for method in methods],
        "verdicts": [_said(verdict) for verdict in one.verdicts],
        "command": claim.command() if one.outcome in ("", "open") else "",
    }  # fmt: skip


def _said(verdict: Verdict) -> dict[str, Any]:
    facts = checks.verdict_texts(verdict)
    named = [(name, facts[column]) for column, name in FACTS.items() if facts.get(column)]
    reason = f"{verdict.reason[:1].upper()}{verdict.reason[1:]}." if verdict.reason else ""
    return {"outcome": verdict.outcome if verdict.part else "not measured", "reason": reason, "facts": named}

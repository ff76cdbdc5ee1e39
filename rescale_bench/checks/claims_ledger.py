"""The ledger: what a run, or several, say about each claim.

A claim is upheld where all of its parts hold, contradicted where one of them fails, each beyond chance after Holm's
correction over all claims with a test. A contradiction by weights that were not trained as the paper says is open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from rescale_bench.api.specs import parse_spec
from rescale_bench.checks.claims import Claim
from rescale_bench.checks.claims_tests import Book, Part, make_parts, read_books, wanted_scales
from rescale_bench.codecs import is_lossless
from rescale_bench.errors import RescaleBenchError
from rescale_bench.statistics.paired import holm
from rescale_bench.tables.rows import prepare
from rescale_bench.tables.scores import About

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

LEVEL = 0.05
FULL = ("published",)
"""Weights tags that a contradiction counts with: trained as their paper says."""
Outcome = Literal["upheld", "contradicted", "open"]


@dataclass(frozen=True)
class Verdict:
    """What the rows say about one claim with one set of weights under one protocol."""

    claim: Claim
    """The claim."""

    outcome: Outcome
    """What became of it."""

    reason: str = ""
    """Why it is open; what is missing, where anything is."""

    part: Part | None = None
    """The part that decides: the weakest of a claim that holds, the clearest failure of one that does not."""

    parts: int = 0
    """How many parts it has."""

    p: float | None = None
    """Two-sided, after Holm; None without a test."""

    protocol: str = ""
    """Name and version of the protocol, "" without a test."""

    weights: str = ""
    """Tag that all methods with weights share, "" where none has weights."""

    budget: str = ""
    """Minutes that these weights were trained for ("13 min"), "" where their files are not here or do not say."""

    about: About | None = None
    """Unit and decimals of the metric."""


@dataclass(frozen=True)
class _Trial:
    """One way to take a claim's methods from the rows. labels: method → label. tag: see Verdict.weights."""

    book: Book
    codec: str
    tag: str
    labels: Mapping[str, str]
    parts: tuple[Part, ...]
    missing: tuple[str, ...]


def judge_claims(
    frame: pd.DataFrame, claims: Sequence[Claim], registry: Registry, full: Sequence[str] = FULL
) -> list[Verdict]:
    """Judge claims by tidy rows; one with several sets of weights that decide it has a verdict for each.

    full: weights tags trained as their papers say. Raises UsageError where there is no row.
    """
    rows = prepare(frame)
    needed = {metric for claim in claims for metric in claim.metrics}
    rows = rows[rows["metric"].isin(needed)].reset_index(drop=True)
    books = read_books(rows)
    verdicts = [verdict for claim in claims for verdict in _undecided(claim, books, registry)]
    tested = [index for index, verdict in enumerate(verdicts) if verdict.p is not None]
    corrected = holm([verdicts[index].p or 0.0 for index in tested])
    for index, p in zip(tested, corrected, strict=True):
        verdicts[index] = _decided(replace(verdicts[index], p=p), full)
    return verdicts


def _undecided(claim: Claim, books: Sequence[Book], registry: Registry) -> Iterator[Verdict]:
    """Give the verdicts that a claim may get, with p before correction, or one that says what is missing."""
    trials, absent = [], []
    for book in books:
        for codec in _codecs(claim, book, registry):
            found, reason = _tagged(claim, book, codec)
            absent.append(reason)
            for tag, labels in found.items():
                parts, missing = make_parts(claim, book, codec, labels)
                trials.append(_Trial(book, codec, tag, labels, tuple(parts), tuple(missing)))
    whole = [trial for trial in trials if trial.parts and not trial.missing]
    if whole:
        yield from (_tested(claim, trial, registry) for trial in whole)
    elif trials:
        best = max(trials, key=lambda trial: len(trial.parts))
        tagged = f" with weights {best.tag}" if best.tag else ""
        yield Verdict(claim, "open", f"no rows of {'; '.join(best.missing)}{tagged}", weights=best.tag)
    else:
        # The reason that names the fewest methods is the nearest to an answer.
        through = f" through {claim.codec}" if claim.codec else ""
        nothing = f"no rows of {' and '.join((*claim.methods, *claim.against))}{through}"
        yield Verdict(claim, "open", min(absent, key=len, default=nothing))


def _codecs(claim: Claim, book: Book, registry: Registry) -> list[str]:
    """List the files between the halves under which a claim may be tested: the one that it names, or a lossless one."""
    held = list(dict.fromkeys(codec for _, codec, _ in book.values))
    return [codec for codec in held if (codec == claim.codec if claim.codec else _lossless(codec, registry))]


def _lossless(codec: str, registry: Registry) -> bool:
    if codec in ("", "none"):
        return True
    try:
        chosen = registry.choose_codec(parse_spec(codec))
    except RescaleBenchError:
        return False
    return is_lossless(chosen.record, chosen.options)


def _tagged(claim: Claim, book: Book, codec: str) -> tuple[dict[str, dict[str, str]], str]:
    """Find the weights tags that all methods of a claim share, and the label of each method under each of them.

    Methods without weights go with every tag, and so does one whose weights the claim names. Also says why there is
    none: methods are never compared across tags, since their budgets differ.
    """
    held: dict[str, dict[str, str]] = {}
    fixed: dict[str, str] = {}
    for method in (*claim.methods, *claim.against):
        labels = book.labels(method, claim, codec)
        if labels and ("[" in method or not book.tags[labels[0]]):
            fixed[method] = labels[0]
            continue
        usable = [label for label in labels if _counts(book, label, claim)]
        held[method] = {book.tags[label]: label for label in usable}
    absent = [method for method, tags in held.items() if not tags]
    if absent:
        asked = f" with weights {' or '.join(claim.weights)}" if claim.weights else ""
        through = f" through {claim.codec}" if claim.codec else ""
        return {}, f"no rows of {', '.join(absent)}{through}{asked} ({' + '.join(claim.metrics)})"
    shared = set.intersection(*(set(tags) for tags in held.values())) if held else {""}
    if not shared:
        has = "; ".join(f"{method} has {', '.join(sorted(tags))}" for method, tags in held.items())
        return {}, f"no weights of one budget: {has}"
    return {tag: fixed | {method: tags[tag] for method, tags in held.items()} for tag in sorted(shared)}, ""


def _counts(book: Book, label: str, claim: Claim) -> bool:
    return book.tags[label] in claim.weights if claim.weights else book.trained[label]


def _tested(claim: Claim, trial: _Trial, registry: Registry) -> Verdict:
    """Combine the parts: all must hold (the largest p counts), or one must fail (Bonferroni over the parts)."""
    weakest = max(trial.parts, key=lambda part: (part.holds, -part.found.n))
    clearest = min(trial.parts, key=lambda part: part.fails)
    holds, fails = weakest.holds, min(1.0, len(trial.parts) * clearest.fails)
    name = f"{trial.book.protocol} version {trial.book.version}" if trial.book.version else trial.book.protocol
    return Verdict(
        claim, "upheld" if holds <= fails else "contradicted", "", weakest if holds <= fails else clearest,
        len(trial.parts), min(1.0, 2 * min(holds, fails)), name, trial.tag, _budget(claim, trial, registry),
        trial.book.about[claim.metrics[0]],
    )  # fmt: skip


def _decided(verdict: Verdict, full: Sequence[str]) -> Verdict:
    """Settle a verdict whose p is corrected."""
    if verdict.p is None or verdict.p >= LEVEL:
        return replace(verdict, outcome="open", reason="chance is not excluded")
    tags = set(verdict.weights.split("+")) - {"", *full, *verdict.claim.weights}
    if verdict.outcome == "contradicted" and tags:
        named = ", ".join(sorted(tags))
        return replace(verdict, outcome="open", reason=f"contradicted, but by weights with little training ({named})")
    return verdict


def _budget(claim: Claim, trial: _Trial, registry: Registry) -> str:
    """Say how long the weights of a claim's scales were trained, as far as their files are here and say so."""
    minutes: set[int] = set()
    for label in trial.labels.values():
        if trial.book.tags[label]:
            minutes |= set(_minutes(label, claim, trial, registry))
    if not minutes:
        return ""
    low, high = min(minutes), max(minutes)
    return f"{low} min" if low == high else f"{low} to {high} min"


def _minutes(label: str, claim: Claim, trial: _Trial, registry: Registry) -> Iterator[int]:
    from pathlib import Path

    from rescale_bench.weights.choice import choose_weights, training_seconds
    from rescale_bench.weights.stored import SUFFIX

    name = label.partition(" [")[0]
    measured = {scale for (_, codec, one), places in trial.book.values.items() if one == label for _, scale in places}
    try:
        spec = parse_spec(f"{name}{',' if ':' in name else ':'}weights={trial.book.tags[label]}")
        method = registry.choose_method(spec)
        for scale in measured.intersection(wanted_scales(claim, measured)):
            for _, path in choose_weights(method, Decimal(scale), registry).files:
                seconds = training_seconds(Path(path), registry) if path.endswith(SUFFIX) else None
                if seconds is not None:
                    yield round(seconds / 60)
    except (RescaleBenchError, ValueError, OSError):
        return

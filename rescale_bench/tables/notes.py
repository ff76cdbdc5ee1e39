"""Footnotes: what a reader must know about the images behind the means of a section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rescale_bench.api.specs import RANDOM, UNVERSIONED
from rescale_bench.tables.model import INCOMPLETE, NOT_NATIVE
from rescale_bench.tables.scores import Score, State

WORDS: dict[State, str] = {
    "infinite": "infinite (identical to what it is compared with) and left out of the mean",
    "undefined": "without a defined value and left out of the mean",
}

UNPUBLISHABLE = {
    RANDOM: "random: these weights were drawn, not trained; the row tests the harness and is not publishable.",
    UNVERSIONED: "unversioned: a method of a Python session without a version; the row is not publishable.",
}
UNSEALED = "{files}: images made elsewhere; that the upscaler saw the LR file alone is their makers' word."
WRAPPED = f"{NOT_NATIVE} not native: a wrapper or a model of another scale serves this scale."


def footnotes(
    scores: Sequence[Score], reference: str | None = None, compared: Sequence[str] = (), ranked: bool = True
) -> tuple[str, ...]:
    """Explain the signs of one section and count what its means leave out.

    compared: metrics with a column of differences to the reference. ranked: best and second are marked.
    """
    notes: list[str] = []
    if compared and reference:
        notes.append(
            f"Δ: mean difference to {reference} image by image ± half the paired 95 % t-interval, on identical images."
        )
        notes.extend(_fewer_pairs([score for score in scores if score.metric in compared], reference))
    if any(not score.native for score in scores):
        notes.append(WRAPPED)
    if any(score.mean is not None and incomplete(score) for score in scores):
        rank = " Such rows take no part in best and second." if ranked else ""
        notes.append(
            f"{INCOMPLETE} mean over fewer images than the others, which cannot be compared with theirs.{rank}"
        )
    if any(incomplete(score) for score in scores):
        notes.extend(absent(scores))
    for state in ("infinite", "undefined"):
        notes.extend(left_out(scores, state))
    return (*notes, *row_notes(scores))


def row_notes(scores: Sequence[Score]) -> Iterator[str]:
    """Say what is special about whole rows."""
    if any(not score.trained for score in scores):
        yield from (note for word, note in UNPUBLISHABLE.items() if any(word in score.tags for score in scores))
    if any(not score.sealed for score in scores):
        yield UNSEALED
    if any(score.ceiling for score in scores):
        yield "ceiling: an upper bound that is no rescaler; it takes no part in best and second."


def set_notes(scores: Sequence[Score]) -> tuple[str, ...]:
    """Say what values of whole data sets are worth, how they were computed, and why some are missing."""
    wholes = [(score, score.whole) for score in scores if score.whole]
    notes = [whole.note for _, whole in wholes if whole.note and whole.value is not None]
    if any(not score.native for score, _ in wholes):
        notes.append(WRAPPED)
    if any(not score.sealed for score, _ in wholes):
        notes.append(UNSEALED)
    if any(incomplete(score) for score, _ in wholes):
        notes.append(f"{INCOMPLETE} over fewer images than the others, which cannot be compared with theirs.")
    for score, whole in wholes:
        if whole.error:
            notes.append(f"{score.metric} of {score.label} at ×{score.group.scale}: undefined ({whole.error}).")
    return tuple(dict.fromkeys(notes))


def incomplete(score: Score) -> bool:
    """Tell whether a mean is over other images than the ones that everybody was scored on."""
    return not score.covers and len(score.everybody) > 0 and not _all_infinite(score)


def _all_infinite(score: Score) -> bool:
    return not score.finite and score.count("infinite") == len(score.everybody)


def _fewer_pairs(scores: Iterable[Score], reference: str) -> list[str]:
    fewer: dict[tuple[int, str, str], list[str]] = {}
    for score in scores:
        if score.difference is not None and score.difference.n < len(score.everybody):
            fewer.setdefault((score.difference.n, score.metric, score.label), []).append(score.group.scale)
    return [
        f"Δ {metric} of {label} to {reference} over {n} images only at {_scales(scales)}."
        for (n, metric, label), scales in fewer.items()
    ]


def absent(scores: Iterable[Score]) -> list[str]:
    """Count the images that failed or were not measured, one line per method."""
    counts: dict[tuple[str, str], list[str]] = {}
    for score in scores:
        failed, missing = score.count("failed"), score.missing
        parts = [f"{n} {word}" for n, word in ((failed, "failed"), (missing, "not measured")) if n]
        if parts:
            counts.setdefault((score.label, f"{' and '.join(parts)} of {score.images} images"), []).append(
                score.group.scale
            )
    return [f"{label}: {text} at {_scales(scales)}." for (label, text), scales in counts.items()]


def left_out(scores: Iterable[Score], state: State) -> list[str]:
    """Count what stands outside the means, one line per metric and set of methods."""
    at: dict[tuple[str, int, int, str], list[str]] = {}
    everybody: dict[str, set[str]] = {}
    for score in scores:
        everybody.setdefault(score.metric, set()).add(score.label)
        if score.count(state):
            at.setdefault((score.metric, score.count(state), score.images, score.label), []).append(score.group.scale)
    alike: dict[tuple[str, int, int, str], list[str]] = {}
    for (metric, n, images, label), scales in at.items():
        alike.setdefault((metric, n, images, _scales(scales)), []).append(label)
    return [
        f"{metric} at {scales}: {n} of {images} images {WORDS[state]}"
        + (" for every method." if set(names) == everybody[metric] else f": {', '.join(names)}.")
        for (metric, n, images, scales), names in alike.items()
    ]


def _scales(scales: Iterable[str]) -> str:
    return ", ".join(f"×{scale}" for scale in dict.fromkeys(scales))

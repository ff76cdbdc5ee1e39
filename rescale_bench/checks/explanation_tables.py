"""Write what explains the gaps between measured and published numbers as a table and a few sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rescale_bench.checks.explanations import Explanation, Trial
from rescale_bench.checks.published import Comparison, merged

HEAD = ("method", "data set", "scale", "metric", "published", "measured", "protocol", "explained by", "then", "remarks")
MANY = 3
"""Equally good changes that are named; the rest are counted."""


def rows(found: Sequence[Comparison], why: Mapping[Comparison, Explanation]) -> list[list[str]]:
    """Write a line for each gap that was searched, papers that print the same number joined."""
    shown = [one for one, _ in merged(found) if one in why and not why[one].obstacle]
    return [_line(one, why[one]) for one in shown]


def _line(one: Comparison, why: Explanation) -> list[str]:
    digits = one.published.decimals + 2
    trial = why.change or why.nearest
    return [
        one.method, one.dataset, f"×{one.published.scale}", one.metric, one.published.text,
        f"{one.measured:.{digits}f}", one.protocol, why.change.text if why.change else "none",
        f"{trial.value:.{digits}f}" if trial else "–", _remark(why, digits),
    ]  # fmt: skip


def _remark(why: Explanation, digits: int) -> str:
    if why.change:
        fits = f"fits {why.support[0]} of {why.support[1]} differing numbers of the method"
        if why.support[0] < why.support[1]:
            fits += ", so it may be chance"
        return "; ".join(filter(None, (fits, _also(why.also))))
    if why.nearest is None:
        return "nothing could be tried"
    return f"nearest of {why.tried}: {why.nearest.text} ({why.nearest.difference:+.{digits}f})"


def _also(trials: Sequence[Trial]) -> str:
    named = ", ".join(f"`{trial.text}`" for trial in trials[:MANY])
    more = f" and {len(trials) - MANY} more" if len(trials) > MANY else ""
    return f"so do {named}{more}" if named else ""


def remarks(found: Sequence[Comparison], why: Mapping[Comparison, Explanation]) -> list[str]:
    """Say what was not tried and what it takes, one line each."""
    shown = [(one, why[one]) for one, _ in merged(found) if one in why]
    obstacles: dict[str, int] = {}
    for _, each in shown:
        if each.obstacle:
            obstacles[each.obstacle] = obstacles.get(each.obstacle, 0) + 1
    lines = [f"{count} more that differ, not tried: {obstacle}." for obstacle, count in obstacles.items()]
    wanted: dict[str, None] = {}
    for _, each in shown:
        wanted |= dict.fromkeys(each.reruns)
    if wanted:
        listed = ", ".join(f"`--protocol {name}`" for name in wanted)
        lines.append(f"Cannot be tried on stored 8-bit outputs (another LR or SR); re-run with {listed}.")
    return lines


def record(why: Explanation | None) -> dict[str, str | float | int | None]:
    """Flatten an explanation for machines; all empty where the numbers agree."""
    change, nearest = (why.change, why.nearest) if why else (None, None)
    return {
        "tolerance": why.tolerance if why else None,
        "explained_by": change.text if change else "",
        "explained_value": change.value if change else None,
        "explained_also": "; ".join(trial.text for trial in why.also) if why else "",
        "explained_numbers": why.support[0] if why else None,
        "differing_numbers": why.support[1] if why else None,
        "nearest": nearest.text if nearest else "",
        "nearest_value": nearest.value if nearest else None,
        "not_explained": why.obstacle if why else "",
        "reruns": "; ".join(why.reruns) if why else "",
    }

"""Best and second of a column, and the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping

from rescale_bench.tables.layout import Mark, number
from rescale_bench.tables.scores import Score


def marks(column: Mapping[Hashable, Score]) -> dict[Hashable, Mark]:
    """Mark the best and the second of one column among the ranked scores.

    Values that print alike share a mark. A single ranked score gets none, and neither do scores that all print
    alike: there is nothing to be best of.
    """
    ranked = {key: score for key, score in column.items() if score.ranked and score.mean is not None}
    ordered = sorted(ranked, key=lambda key: goodness(ranked[key]), reverse=True)
    printed = {key: number(ranked[key].mean, ranked[key].about.decimals) for key in ordered}
    steps = list(dict.fromkeys(printed[key] for key in ordered))
    if len(steps) < 2:
        return {}
    names: dict[str, Mark] = dict(zip(steps, ("best", "second"), strict=False))
    return {key: names[printed[key]] for key in ordered if printed[key] in names}


def goodness(score: Score | None) -> float:
    """Turn a mean into a number that is larger for better; −∞ for none."""
    if score is None or score.mean is None:
        return -math.inf
    return -score.mean if score.about.direction == "down" else score.mean


def best_first(labels: Iterable[str], leading: Mapping[str, Score]) -> list[str]:
    """Order methods by the leading metric: ranked ones first, best on top; then by name."""
    return sorted(labels, key=lambda name: (not _ranked(leading.get(name)), -goodness(leading.get(name)), name))


def _ranked(score: Score | None) -> bool:
    return score is not None and score.ranked

"""From prepared rows to scores: what is averaged, what is counted, and on which images methods are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rescale_bench.tables.rows import GROUP, distinct
from rescale_bench.tables.scores import WORST, About, Group, Images, Score, State, Whole, reference_of

if TYPE_CHECKING:
    import pandas as pd

SIZES = ("height", "width", "lr_height", "lr_width")
PIXELS = ("hr-pixels", "lr-pixels")
"""Pools whose values are weighted by pixels."""


def scores(rows: pd.DataFrame, reference: str) -> list[Score]:
    """Average prepared rows per group, method and metric, and compare with the reference method.

    reference: a method ("bicubic"), with options and weights where they matter ("irn:z=zero [published]").
    """
    of_sets = (rows["image"] == "").to_numpy()
    found = _collect(rows[~of_sets] if of_sets.any() else rows)
    found += _collect_sets(rows[of_sets])
    by_group: dict[tuple[Group, str], list[Score]] = {}
    for score in found:
        by_group.setdefault((score.group, score.metric), []).append(score)
    for members in by_group.values():
        scored = [score for score in members if score.trained and not score.ceiling] or members
        everybody = _union([score.of_images for score in scored], "infinite")
        against = reference_of({score.label for score in members}, reference)
        base = next((score for score in members if score.label == against), None)
        for score in members:
            if not score.whole:
                score.everybody = everybody
                score.base = base if base is not score else None
            # What is scored is among everybody anyway.
            same = score.count("finite") == len(score.everybody)
            among = bool(score.whole) or (score.trained and not score.ceiling)
            score.covers = same and (among or bool(np.isin(score.finite.which, score.everybody).all()))
    return sorted(found, key=lambda score: (score.group.order, score.label, score.metric))


def _collect(rows: pd.DataFrame) -> list[Score]:
    if rows.empty:
        return []
    abouts = _abouts(rows)
    places, first = distinct(rows, [*GROUP, "label", "metric"])
    keys = rows[[*GROUP, "label", "metric", "weights", "native", "ceiling", "origin"]].iloc[first]
    order = np.argsort(places.astype(np.uint16 if len(first) < 2**16 else np.int64), kind="stable")
    ends = np.cumsum(np.bincount(places, minlength=len(first)))
    column = rows["image"].astype("category").cat
    names = column.categories.to_numpy(dtype=object)
    which, values = column.codes.to_numpy()[order], rows["value"].to_numpy(dtype=np.float64)[order]
    states = _states(rows["value"].to_numpy(dtype=np.float64), rows["status"])[order]
    once = ((np.diff(which) > 0) | (np.diff(places[order]) != 0)).all()
    tally = np.bincount(places[order] * len(WORST) + states, minlength=len(first) * len(WORST))
    pixels_of = {pool: _pixels(rows, pool)[order] for pool in {about.pool for about in abouts.values()} & {*PIXELS}}
    groups: dict[tuple[str, ...], Group] = {}
    found: dict[Group, list[Score]] = {}
    parts = zip([0, *ends[:-1].tolist()], ends.tolist(), tally.reshape(-1, len(WORST)).tolist(), strict=True)
    for key, (start, end, counts) in zip(keys.itertuples(index=False, name=None), parts, strict=True):
        where, (label, metric, weights, native, ceiling, origin) = key[: len(GROUP)], key[len(GROUP) :]
        if where not in groups:
            groups[where] = Group(*where)
        group, about = groups[where], abouts[metric]
        own = slice(start, end)
        pixels = pixels_of[about.pool][own] if about.pool in pixels_of else None
        images = Images(names, which[own], states[own], values[own], counts, pixels)
        score = Score(
            group, label, metric, about, _true(native), _tags(weights), _true(ceiling, default=False), 0,
            images if once else _once(images), np.empty(0, dtype=np.int64), sealed=origin == "run",
        )  # fmt: skip
        found.setdefault(group, []).append(score)
    for members in found.values():
        count = len(_union([score.of_images for score in members], "failed"))
        for score in members:
            score.images = count
    return [score for members in found.values() for score in members]


def _pixels(rows: pd.DataFrame, pool: str) -> np.ndarray:
    """Count the pixels that a pool weighs each row by, NaN where unknown; (n,) of float64."""
    height, width = SIZES[:2] if pool == "hr-pixels" else SIZES[2:]
    pixels: np.ndarray = rows[height].to_numpy(dtype=np.float64) * rows[width].to_numpy(dtype=np.float64)
    return pixels


def _union(scored: Sequence[Images], worst: State) -> np.ndarray:
    """Find the images that are in this state or a better one in any score, as places in rising order."""
    held = np.zeros(max(len(images.names) for images in scored), dtype=bool)
    upto = WORST.index(worst) + 1
    parts = [
        images.which if sum(images.counts[:upto]) == len(images.which) else images.which[images.states < upto]
        for images in scored
    ]
    held[np.concatenate(parts)] = True
    return np.flatnonzero(held)


def _collect_sets(rows: pd.DataFrame) -> list[Score]:
    """Make scores of the values of whole data sets. rows: as prepare gives them, one for each set and metric."""
    if rows.empty:
        return []
    abouts = _abouts(rows)
    found = []
    for key, part in rows.groupby([*GROUP, "label", "metric"], sort=False, observed=True):
        *names, label, metric = cast(tuple[str, ...], key)
        first, values = part.iloc[0], part["value"].to_numpy(dtype=np.float64)
        state = WORST[max(_states(values, part["status"]))]
        value = fmean(values.tolist()) if state in ("finite", "infinite") else None
        everybody = np.array(sorted(first["images"]), dtype=object)
        members = set.intersection(*map(set, part["members"]))
        which = np.flatnonzero([name in members for name in everybody])
        shared = math.nan if value is None else value
        states = np.full(len(which), WORST.index(state))
        images = Images(everybody, which, states, np.full(len(which), shared), _tally(states))
        score = Score(
            Group(*names), label, metric, abouts[metric], _true(first["native"]), _tags(first["weights"]),
            _true(first["ceiling"], default=False), len(everybody), images, np.arange(len(everybody)),
            whole=Whole(value, " ".join(dict.fromkeys(part["note"])), next(filter(None, part["error"]), "")),
            sealed=first["origin"] == "run",
        )  # fmt: skip
        found.append(score)
    return found


def _once(images: Images) -> Images:
    """Join what several seeds say of one image: the worst state, and the mean of the values."""
    if (np.diff(images.which) > 0).all():
        return images
    which, first, back = np.unique(images.which, return_index=True, return_inverse=True)
    if len(which) == len(images.which):
        return images
    states = np.zeros(len(which), dtype=images.states.dtype)
    np.maximum.at(states, back, images.states)
    values = np.array([fmean(images.values[back == place].tolist()) for place in range(len(which))])
    pixels = None
    if images.pixels is not None:
        pixels, known = np.full(len(which), np.nan), np.isfinite(images.pixels)
        pixels[back[known]] = images.pixels[known]
    shown = np.argsort(first)
    pixels = None if pixels is None else pixels[shown]
    return Images(images.names, which[shown], states[shown], values[shown], _tally(states), pixels)


def _tally(states: np.ndarray) -> list[int]:
    return cast(list[int], np.bincount(states, minlength=len(WORST)).tolist())


def _states(values: np.ndarray, statuses: pd.Series[str]) -> np.ndarray:
    """Give each value's state as a place in WORST, (n,) of int8."""
    undefined, good = ((statuses == word).to_numpy(dtype=bool) for word in ("undefined", "ok"))
    states = np.where(np.isnan(values), WORST.index("undefined"), np.isinf(values)).astype(np.int8)
    states[~good] = WORST.index("failed")
    states[undefined] = WORST.index("undefined")
    return states


def _abouts(rows: pd.DataFrame) -> dict[str, About]:
    columns = ["metric", "direction", "unit", "decimals", "pool", "repeatable", "title"]
    first = rows[columns].iloc[distinct(rows, ["metric"])[1]]
    return {
        row.metric: About(row.direction, row.unit, int(row.decimals), row.pool, _true(row.repeatable), row.title)
        for row in cast(Iterator[Any], first.itertuples(index=False))
    }


def _true(value: Any, default: bool = True) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return default
    return str(value).lower() not in ("false", "0", "0.0", "")


@cache
def _tags(weights: str) -> frozenset[str]:
    return frozenset(weights.split("+"))

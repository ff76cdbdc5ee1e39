"""Spread over seeds: how far a method's own random draws move its mean, apart from what the images do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, cast

from rescale_bench.runs.table import as_text
from rescale_bench.tables.rows import GROUP
from rescale_bench.tables.scores import Group

if TYPE_CHECKING:
    import pandas as pd

OPTION = "seed"
Key = tuple[Group, str, str]
"""Group, label of the method, metric."""


@dataclass(frozen=True)
class Spread:
    """The SD (n − 1 in the denominator) of the means over the images, one mean per seed. seeds: how many, ≥ 2."""

    seeds: int
    sd: float


def fold_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Take a method's option seed for what it is: `irn:seed=1` and `irn:seed=2` are one method with two seeds.

    frame: tidy rows as stored; returned as they are where no method has the option.
    """
    if "options" not in frame:
        return frame
    texts = as_text(frame["options"])
    split = {text: _split(text) for text in texts.unique()}
    if all(seed is None for _, seed in split.values()):
        return frame
    # Where both vary, both together tell the draws apart.
    outer = as_text(frame["seed"]) if "seed" in frame else ["0"] * len(frame)
    seeds = [
        own if split[text][1] is None else f"{own}/{split[text][1]}" for own, text in zip(outer, texts, strict=True)
    ]
    return frame.assign(options=[split[text][0] for text in texts], seed=seeds)


def _split(options: str) -> tuple[str, str | None]:
    parts = [part for part in options.split(",") if part]
    seeds = [part.partition("=")[2] for part in parts if part.partition("=")[0] == OPTION]
    return ",".join(part for part in parts if part.partition("=")[0] != OPTION), seeds[0] if seeds else None


def seed_spreads(rows: pd.DataFrame) -> dict[Key, Spread]:
    """Measure the spread wherever prepared rows hold several seeds, over the images that are finite under all of them.

    A method without such an image, or with one seed, has no entry.
    """
    if rows["seed"].nunique() < 2:
        return {}
    usable = rows[rows["status"] == "ok"]
    found: dict[Key, Spread] = {}
    for key, members in usable.groupby([*GROUP, "label", "metric"], sort=False, observed=True):
        if members["seed"].nunique() < 2:
            continue
        *names, label, metric = cast(tuple[str, ...], key)
        by_seed: dict[str, dict[str, float]] = {}
        columns = (members[name] for name in ("seed", "image", "value"))
        for seed, image, value in zip(*columns, strict=True):
            if math.isfinite(value):
                by_seed.setdefault(str(seed), {})[image] = float(value)
        shared = set.intersection(*(set(one) for one in by_seed.values())) if len(by_seed) > 1 else set()
        if shared:
            means = [fmean(one[image] for image in sorted(shared)) for one in by_seed.values()]
            found[Group(*names), label, metric] = Spread(len(means), stdev(means))
    return found

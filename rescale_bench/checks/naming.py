"""Which of our methods and metrics a published name means, and under which protocol, as far as known.

The knowledge itself is data: `published_methods.csv` and `published_metrics.csv` beside this module. In the first,
the first line that fits a published row counts; in the second, every line that fits gives a twin.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from rescale_bench.api.scales import exact, is_integer
from rescale_bench.api.specs import method_label
from rescale_bench.runs.schema import KEY, plain_text
from rescale_bench.runs.table import complete
from rescale_bench.tables.rows import distinct

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


UNSTATED = "unstated"
"""In place of a protocol that the paper does not say."""
PUBLISHED = "published"
"""The tag of the weights that a paper's authors gave out."""


@dataclass(frozen=True)
class MethodName:
    """A published method at some scales and data sets ("*" fits any), and our spec for it.

    scales: "*", "integer", "fractional", or one scale. protocol: ours, or "unstated". spec: "" where we have no such
    method, which note then explains. weights: tags that the row is of, joined by "+", "" for the published ones: a
    variant of a paper has the weights that its recipe trains.
    """

    source: str
    table: str
    method: str
    scales: str
    dataset: str
    spec: str
    protocol: str
    note: str
    weights: str = ""

    @property
    def tags(self) -> set[str]:
        """The weights tags under which a run measures what was published."""
        return {"", *(self.weights or PUBLISHED).split("+")}

    def fits(self, source: str, table: str, method: str, scale: str, dataset: str) -> bool:
        """Tell whether a published row is meant."""
        plain = ((self.method, method), (self.source, source), (self.table, table), (self.dataset, dataset))
        if not all(wanted in ("*", given) for wanted, given in plain):
            return False
        return self.scales in ("*", scale, "integer" if is_integer(exact(scale)) else "fractional")


@dataclass(frozen=True)
class MetricName:
    """A published metric and a metric of ours; same: whether ours is meant to give the same number.

    measured: "" where we have none that could, which note then explains.
    under: where it is not empty, the line counts for rows published under that protocol alone.
    """

    source: str
    metric: str
    under: str
    measured: str
    same: bool
    protocol: str
    note: str

    def fits(self, source: str, metric: str, protocol: str) -> bool:
        """Tell whether a row that was published under a protocol is meant."""
        return self.source in ("*", source) and self.metric == metric and self.under in ("", protocol)


NAMED = ("method", "options", "weights", "dataset", "scale", "codec", "protocol", "metric")
OTHERS = (*(name for name in KEY if name not in (*NAMED, "image", "seed")), "weights_sha256")


@dataclass(frozen=True)
class MeanKey:
    """What a mean of a run is of, apart from images and seeds. others: the keys that nobody asks for by name."""

    method: str
    options: str
    weights: str
    dataset: str
    scale: str
    codec: str
    protocol: str
    metric: str
    others: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name the method with its options and weights."""
        return method_label(self.method, self.options, self.weights)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> tuple[list[MeanKey], np.ndarray]:
        """Give the different means of tidy rows, and of each row its place among them; (n,) of whole numbers.

        Columns that are missing have their defaults.
        """
        names = [*NAMED, *OTHERS]
        frame = complete(frame)[names]
        places, first = distinct(frame, names)
        keys = []
        for row in frame.iloc[first].itertuples(index=False, name=None):
            texts = tuple(map(plain_text, row))
            keys.append(cls(others=texts[len(NAMED) :], **dict(zip(NAMED, texts, strict=False))))
        return keys, places


@cache
def method_names() -> tuple[MethodName, ...]:
    """Read the table of methods."""
    return tuple(MethodName(**row) for row in _rows("published_methods.csv"))


@cache
def metric_names() -> tuple[MetricName, ...]:
    """Read the table of metrics."""
    return tuple(
        MetricName(**{**row, "same": row["same"] == "yes"})  # type: ignore[arg-type]  # text but for `same`
        for row in _rows("published_metrics.csv")
    )


@cache
def method_name(source: str, table: str, method: str, scale: str, dataset: str) -> MethodName | None:
    """Find what a published row means; None where nothing is known of its method."""
    return next((name for name in method_names() if name.fits(source, table, method, scale, dataset)), None)


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("rescale_bench.checks").joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))

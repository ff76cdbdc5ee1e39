"""Metrics: numbers about one round trip, or about a whole data set. Importing this package loads no torch.

A metric is one record in one module of this folder; the modules are found by the hook that they define.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.metrics import AnyMetric
from rescale_bench.api.records import Codec, Metric, SetMetric
from rescale_bench.metrics.bitrate import bitrate_metrics

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["bitrate_metrics", "described", "own_metrics"]

LATER = ("title", "order", "group", "tolerance")
"""What rows say of their metric since version 0.2."""


@hookimpl
def rescale_bench_metrics(codecs: Sequence[Codec]) -> Iterable[Metric | SetMetric]:
    """Yield the metrics of this package, and the bitrates of every codec that a plugin yields."""
    return (*own_metrics(), *bitrate_metrics(codecs))


def own_metrics() -> Iterator[Metric | SetMetric]:
    """Yield the metrics of this folder's modules, without the bitrates of single codecs."""
    for found in pkgutil.iter_modules(__path__):
        # Looked for in the text: modules of mere arithmetic import torch, and nobody may who lists metrics.
        if "\ndef rescale_bench_metrics(" in Path(__path__[0], f"{found.name}.py").read_text(encoding="utf-8"):
            yield from importlib.import_module(f"{__name__}.{found.name}").rescale_bench_metrics()


def described(table: pd.DataFrame) -> pd.DataFrame:
    """Fill in what tidy rows of earlier versions lack of their metrics (LATER), from the records that we have.

    A metric that is not ours gets what a record says by default.
    """
    from rescale_bench.codecs import CODECS

    if all(name in table and not table[name].isna().any() for name in LATER):
        return table
    records = {record.name: record for record in (*own_metrics(), *bitrate_metrics(CODECS))}
    defaults = {field.name: field.default for field in dataclasses.fields(AnyMetric)}
    columns = {}
    for name in LATER:
        known = {
            metric: getattr(records.get(str(metric).partition(":")[0]), name, defaults[name])
            for metric in table["metric"].unique()
        }
        filled = table["metric"].astype(object).map(known)
        columns[name] = table[name].astype(object).where(table[name].notna(), filled) if name in table else filled
    return table.assign(**columns)

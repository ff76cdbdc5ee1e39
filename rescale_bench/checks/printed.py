"""Published numbers as rows of a table that stands in a paper, beside measured rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rescale_bench.checks.naming import UNSTATED, MethodName, MetricName, metric_names
from rescale_bench.checks.published import DATASETS, Published, meant_metrics, named_method, same_file
from rescale_bench.errors import UnknownNameError
from rescale_bench.tables.paper import PrintedNumber

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

ALL = "all"


def printed_numbers(
    frame: pd.DataFrame, rows: Sequence[Published], registry: Registry, wanted: Sequence[str] = ()
) -> list[PrintedNumber]:
    """Bring published numbers to our names of data sets, metrics and codecs.

    frame: tidy rows, for the codecs that were measured. registry: says which codecs are lossless. wanted: papers
    ("IRN"), tables ("IRN Table 1") or "all"; by default the first table of each paper that has rows at a scale, which
    is where papers compare systems. Raises UnknownNameError for a name that no row has.
    """
    names = {name for row in rows for name in (row.source, _table(row))}
    for name in wanted:
        if name not in names | {ALL}:
            raise UnknownNameError("published table", name, names | {ALL})
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        first.setdefault((row.source, row.scale), _table(row))
    codecs = sorted(set(frame["codec"].fillna("").astype(str))) if "codec" in frame else [""]
    kept = (
        row for row in rows if not {row.source, _table(row), ALL}.isdisjoint(wanted or (first[row.source, row.scale],))
    )
    metrics = metric_names()
    return [number for row in kept for number in _numbers(row, named_method(row), metrics, codecs, registry)]


def _table(row: Published) -> str:
    return f"{row.source} {row.table}"


def _same(spec: str) -> str:
    """Bring to one form what papers write differently; at a method's own scale a wrapper around it changes nothing."""
    return re.sub(r"-x\d|-type[13]| \(type I+\)", "", spec).replace(" + ", " & ")


def _numbers(
    row: Published, name: MethodName, metrics: Sequence[MetricName], codecs: Sequence[str], registry: Registry
) -> Iterator[PrintedNumber]:
    dataset, count = DATASETS.get(row.dataset, (row.dataset, 0))
    through = frozenset(codec for codec in codecs if same_file(codec, row.codec, registry))
    for metric in meant_metrics(row, name, metrics):
        if metric.same and through:
            protocol = metric.protocol or name.protocol or UNSTATED
            yield PrintedNumber(
                row.method, _same(name.spec or row.method), _table(row), protocol, dataset, row.scale,
                metric.measured, row.text, row.parameters.strip("-"), count, through,
            )  # fmt: skip

"""The tidy table: one row per cell and metric, made from finished cells or read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rescale_bench.metrics import LATER, described
from rescale_bench.runs.schema import COLUMNS, DEFAULTS, NAMES, OF_CELL, ORDER, plain_text, split_dtype

if TYPE_CHECKING:
    import pandas as pd

OF_VALUE = {"metric_version": "version", "value": "value", "status": "status", "error": "error"}
"""Column and its name in the entry of one metric in a journal line."""


def tidy(cells: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Lay finished cells out as one row per cell and metric, in an order that does not depend on the run.

    metrics: what run.json says of each metric (direction, unit, …).
    """
    import pandas as pd

    lines = [line for line in cells.values() for _ in line["values"]]
    entries = [entry for line in cells.values() for entry in line["values"].values()]
    columns: dict[str, Any] = {c.name: [line.get(c.name, c.default) for line in lines] for c in OF_CELL}
    columns["metric"] = [metric for line in cells.values() for metric in line["values"]]
    for name, key in OF_VALUE.items():
        columns[name] = [entry.get(key, DEFAULTS.get(name)) for entry in entries]
    for column in COLUMNS:
        if column.role == "metric":
            columns[column.name] = [metrics.get(metric, {}).get(column.name) for metric in columns["metric"]]
    table = pd.DataFrame(columns, columns=list(NAMES))
    table["scale_number"] = table["scale"].astype("float64")
    order = ["scale_number" if name == "scale" else name for name in ORDER]
    table = table.sort_values(order, kind="stable", ignore_index=True).drop(columns="scale_number")
    return described(table.astype({c.name: "float64" for c in COLUMNS if c.type == "number"})).infer_objects()


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Give a table of an earlier schema, or one made by hand, the columns that it lacks, with their defaults."""
    missing = {name: value for name, value in DEFAULTS.items() if name not in (*frame.columns, *LATER)}
    frame = described(frame.assign(**missing) if missing else frame)
    # Schema 1 had no columns for batch and compile.
    parts = {text: split_dtype(text) for text in map(plain_text, frame["dtype"].unique()) if "-" in text}
    if not parts:
        return frame
    old = frame["dtype"].isin(parts)
    columns = {
        name: frame[name].where(~old, frame["dtype"].map({text: part[name] for text, part in parts.items()}))
        for name in ("batch", "compiled", "dtype")
    }
    return frame.assign(**columns)


def as_text(column: pd.Series[Any]) -> pd.Series[str]:
    """Write a column as text that does not depend on how its file was read; gaps are ""."""
    import pandas as pd

    places, values = pd.factorize(column, use_na_sentinel=False)
    texts = [plain_text(value) for value in values]
    return pd.Series([texts[place] for place in places], index=column.index, dtype=str)

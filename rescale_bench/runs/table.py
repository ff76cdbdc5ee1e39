"""The tidy table: one row per cell and metric, made from finished cells or read from a file."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescale_bench.errors import StoreError
from rescale_bench.machine.limits import refuse_large_table
from rescale_bench.machine.printable import printable
from rescale_bench.machine.writing import write_atomically
from rescale_bench.metrics import LATER, described
from rescale_bench.runs.journal import plain
from rescale_bench.runs.schema import (
    COLUMNS,
    DEFAULTS,
    METRIC,
    NAMES,
    NEEDED,
    NUMBERS,
    OF_CELL,
    ORDER,
    TEXTS,
    plain_text,
    split_dtype,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd

OF_VALUE = {"metric_version": "version", "value": "value", "status": "status", "error": "error", "note": "note"}
"""Column and its name in the entry of one metric in a journal line."""
TidyFormat = Literal["parquet", "csv", "json"]


def tidy(cells: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Lay finished cells out as one row per cell and metric, in an order that does not depend on the run.

    metrics: what run.json says of each metric (direction, unit, …).
    """
    import numpy as np
    import pandas as pd

    lines = list(cells.values())
    owner = np.repeat(np.arange(len(lines)), [len(line["values"]) for line in lines])
    entries = [entry for line in lines for entry in line["values"].values()]
    places, names = pd.factorize(pd.Series([name for line in lines for name in line["values"]], dtype=str))
    # What a cell or a metric says stands once; only places are repeated for every row.
    of_cells = pd.DataFrame({c.name: [line.get(c.name, c.default) for line in lines] for c in OF_CELL})
    said = [metrics.get(name, {}) for name in names]
    of_metrics = pd.DataFrame({name: [each.get(name) for each in said] for name in METRIC})
    of_metrics = described(of_metrics.assign(metric=pd.Series(names, dtype=str)))
    of_values = {name: [entry.get(key, DEFAULTS.get(name)) for entry in entries] for name, key in OF_VALUE.items()}
    parts = [_typed(of_cells).take(owner), _typed(of_metrics).take(places), _typed(pd.DataFrame(of_values))]
    table = pd.concat([part.reset_index(drop=True) for part in parts], axis=1)[list(NAMES)]
    table["scale_number"] = of_cells["scale"].astype("float64").to_numpy()[owner]
    order = ["scale_number" if name == "scale" else name for name in ORDER]
    return table.sort_values(order, kind="stable", ignore_index=True).drop(columns="scale_number").infer_objects()


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Make numbers of the columns that hold some; integers with gaps become floats."""
    import pandas as pd

    numbers = {name: table[name].fillna(math.nan).map(float).astype("float64") for name in NUMBERS if name in table}
    integers = {c.name: pd.to_numeric(table[c.name]) for c in COLUMNS if c.type == "integer" and c.name in table}
    return table.assign(**numbers, **integers)


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
    texts = pd.Series([plain_text(value) for value in values], dtype=str)
    return texts.take(places).set_axis(column.index)


def read_rows(path: Path) -> pd.DataFrame:
    """Read a file of tidy rows: .csv, .csv.gz, .json (as write_rows writes them), else parquet.

    Raises StoreError for too large tables and missing columns, OSError, and what pandas and pyarrow raise.
    """
    import pandas as pd

    if path.suffix not in (".csv", ".json"):
        refuse_large_table(path)
    if path.name.endswith((".csv", ".csv.gz")):
        # As text where pandas would guess: 007 is a name, and it reads the last bit of a number wrong where in haste.
        texts = dict.fromkeys((*TEXTS, *NUMBERS), str)
        gaps = {column.name: ["", "nan"] for column in COLUMNS if column.type != "text"}
        table = _typed(pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=gaps))
    elif path.suffix == ".json":
        table = _typed(pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))))
    else:
        table = pd.read_parquet(path)
    missing = set(NEEDED) - set(table.columns)
    if missing:
        raise StoreError(f"{path} is no tidy run: it lacks the columns {', '.join(sorted(missing))}")
    return complete(table)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Write control characters in the texts of a run as their escapes: runs are passed around, and then printed."""
    for column in table.select_dtypes(include=["object", "string"]).columns:
        texts = [text for text in table[column].unique() if isinstance(text, str) and not text.isprintable()]
        if texts:
            table[column] = table[column].replace({text: printable(text) for text in texts})
    return table


def write_rows(path: Path, frame: pd.DataFrame, form: TidyFormat) -> None:
    """Write tidy rows, one per cell and metric, making the folder; CSV is packed where the name ends in .gz.

    Equal rows give equal bytes, parquet apart. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        write_atomically(path, lambda place: frame.to_parquet(place, index=False))
        return
    text = rows_text(frame, form)
    # Without a time stamp inside the archive, equal tables are equal files.
    write_atomically(path, gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text)


def rows_text(frame: pd.DataFrame, form: Literal["csv", "json"]) -> str:
    """Write tidy rows as text. JSON: a list of objects, missing values null, infinite ones text ("inf")."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    records = [plain(row) for row in frame.to_dict("records")]
    # One row a line: a difference of two exports can be read.
    lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    return f"[\n{lines}\n]\n" if lines else "[]\n"

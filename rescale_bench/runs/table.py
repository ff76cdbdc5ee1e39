"""The tidy table: one row per cell and metric, made from finished cells or read from a file."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescale_bench.errors import StoreError
from rescale_bench.machine.limits import refuse_large_table
from rescale_bench.machine.printable import printable
from rescale_bench.machine.writing import write_atomically
from rescale_bench.metrics import LATER, described
from rescale_bench.runs.columns import ENTRY, VALUE, coded, combined, metrics_of
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
    Column,
    plain_text,
    split_dtype,
)  # fmt: skip
from rescale_bench.runs.submission import ENDING, ROWS, read_submission

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

OF_VALUE = {"metric_version": "version", "value": "value", "status": "status", "error": "error", "note": "note"}
"""Column and its name in the entry of one metric in a journal line."""
GROUP, DICTIONARY = 2**20, 2**24
"""Rows of a group of a Parquet file, and bytes of a column's different texts that are held once in each."""
TidyFormat = Literal["parquet", "csv", "json"]


def tidy(cells: pa.Table, metrics: Mapping[str, Mapping[str, Any]], names: Collection[str] = NAMES) -> pd.DataFrame:
    """Lay finished cells out as one row per cell and metric, in an order that does not depend on the run.

    cells: one row each (rescale_bench.runs.columns). metrics: what run.json says of each metric (direction, unit, …).
    names: the columns that are wanted. Texts, and what repeats itself, are categories; plain_texts makes usual columns
    of them.
    """
    import numpy as np
    import pandas as pd

    labels = sorted(metrics_of(cells))
    columns = {c.name: _of_cells(cells, c) for c in OF_CELL if c.name in names or c.name in ORDER}
    place = combined((_rank(columns[name], name) for name in ORDER if name != "metric"), cells.num_rows)
    order = np.argsort(place, kind="stable")
    # (cells in order, metrics): where an entry stands among all that are different, −1 without one.
    entries = np.full((cells.num_rows, len(labels)), -1, dtype=np.int32)
    values = np.full(entries.shape, np.nan)
    texts: list[str] = []
    for index, label in enumerate(labels):
        codes, own = coded(cells[ENTRY + label])
        entries[:, index] = np.where(codes < 0, -1, codes + len(texts))[order]
        values[:, index] = cells[VALUE + label].to_numpy()[order]
        texts += own
    there = entries >= 0
    owner: np.ndarray = np.repeat(order.astype(np.int32), there.sum(axis=1))
    which: np.ndarray = np.broadcast_to(np.arange(len(labels), dtype=np.int16), there.shape)[there]
    entry, value = entries[there], values[there]
    del entries, values, there
    if (np.diff(place[order]) == 0).any():  # cells of one name and several contents: metric by metric
        again = np.lexsort((which, place[owner]))
        owner, which, entry, value = (each[again] for each in (owner, which, entry, value))
    said = [metrics.get(label, {}) for label in labels]
    of_metrics = pd.DataFrame({name: [each.get(name) for each in said] for name in METRIC})
    of_metrics = _typed(described(of_metrics.assign(metric=pd.Series(labels, dtype=str))))
    about = [json.loads(text) for text in texts]
    of_entries = {name: [said.get(key, DEFAULTS.get(name)) for said in about] for name, key in OF_VALUE.items()}
    sources: tuple[tuple[Mapping[Any, Any], np.ndarray], ...] = (
        (columns, owner), (dict(of_metrics.items()), which), (of_entries, entry),
    )  # fmt: skip
    found: dict[Any, Any] = {"value": value}
    for source, places in sources:
        found |= {name: _repeated(of, places) for name, of in source.items() if name in names and name != "value"}
    return pd.DataFrame({name: found[name] for name in NAMES if name in found}, copy=False)


def _of_cells(cells: pa.Table, column: Column) -> Any:
    """Give a column of the cells: categories where it is a text or what is asked for, else an array."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    array = cells[column.name]
    if array.null_count and column.default is not None and column.default == column.default:  # NaN is no default
        plain_type = pa.string() if column.type == "text" else array.type
        array = array.cast(plain_type).fill_null(column.default)
    if column.name == "cell":
        return pd.Categorical.from_codes(np.arange(len(array), dtype=np.int32), array.to_pandas())
    if column.type == "text":
        codes, texts = coded(array)
        return pd.Categorical.from_codes(codes, pd.Index(texts, dtype=str))
    numbers = array.to_numpy()
    if column.type == "number":
        return numbers.astype(np.float64)
    return numbers if column.type == "flag" else pd.Categorical(numbers)


def _rank(column: Any, name: str) -> tuple[np.ndarray, int]:
    """Give a column's codes in rising order of its values, scales as numbers, and how many there are."""
    import numpy as np
    import pandas as pd

    if not isinstance(column, pd.Categorical):
        return column.astype(np.int64), 2
    if name != "scale":
        return column.codes, len(column.categories)
    values, ranks = np.unique(column.categories.astype(float), return_inverse=True)
    return ranks[column.codes], len(values)


def _repeated(column: Any, places: np.ndarray) -> Any:
    """Give a row its cell's, its metric's or its entry's value."""
    import numpy as np
    import pandas as pd

    if isinstance(column, np.ndarray):
        return column[places]
    if not isinstance(column, pd.Categorical):
        values = pd.Series(column).infer_objects()
        if values.dtype in (bool, object):  # a flag, perhaps with gaps
            return values.to_numpy()[places]
        column = pd.Categorical(values)
    alike = len(column.categories) == 1 and (column.codes == 0).all()
    codes = np.zeros(len(places), dtype=np.int8) if alike else column.codes[places]
    return pd.Categorical.from_codes(codes, dtype=column.dtype)


def plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Make usual columns of categories: texts, whole numbers, floats where there are gaps."""
    import pandas as pd

    columns: dict[str, pd.Series[Any]] = {}
    for name in map(str, table.select_dtypes("category")):
        column = table[name].cat
        # What is not there is at place −1, which no value has.
        columns[name] = pd.Series(column.categories).reindex(column.codes).set_axis(table.index)
    return table.assign(**columns)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Make numbers of the columns that hold some; integers with gaps become floats."""
    import pandas as pd

    numbers = {name: table[name].fillna(math.nan).map(float).astype("float64") for name in NUMBERS if name in table}
    integers = {c.name: pd.to_numeric(table[c.name]) for c in COLUMNS if c.type == "integer" and c.name in table}
    return table.assign(**numbers, **integers)


def complete(frame: pd.DataFrame, names: Collection[str] = NAMES) -> pd.DataFrame:
    """Give a table of an earlier schema, or one made by hand, those of the columns that it lacks, with their defaults.

    names: the columns that are wanted.
    """
    missing = {
        name: value for name, value in DEFAULTS.items() if name in names and name not in (*frame.columns, *LATER)
    }
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
    """Make categories of a column's values as text that does not depend on how its file was read; gaps are ""."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        places, values = column.cat.codes.to_numpy(), column.cat.categories
        if pd.api.types.is_string_dtype(values) and places.min(initial=0) == 0:
            return column
    else:
        places, values = pd.factorize(column)
    texts = np.array([*map(plain_text, values), ""], dtype=object)
    codes, names = pd.factorize(texts, sort=True)
    return pd.Series(pd.Categorical.from_codes(codes[places], pd.Index(names, dtype=str)), index=column.index)


def read_rows(path: Path) -> pd.DataFrame:
    """Read a file of tidy rows: .csv, .csv.gz, .json (as write_rows writes them), a submission (.zip), else parquet.

    Raises StoreError for too large tables and missing columns, OSError, and what pandas and pyarrow raise.
    """
    import pandas as pd

    if path.suffix not in (".csv", ".json", ENDING):
        refuse_large_table(path)
    if path.name.endswith((".csv", ".csv.gz")):
        table = _read_csv(path)
    elif path.suffix == ENDING:
        table = _read_csv(io.BytesIO(read_submission(path)[ROWS]))
    elif path.suffix == ".json":
        table = _typed(pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))))
    else:
        from pyarrow import parquet

        texts_there = [name for name in parquet.read_schema(path).names if name in TEXTS]
        table = parquet.ParquetFile(path, read_dictionary=texts_there).read().to_pandas()
    missing = set(NEEDED) - set(table.columns)
    if missing:
        raise StoreError(f"{path} is no tidy run: it lacks the columns {', '.join(sorted(missing))}")
    return complete(table)


def _read_csv(file: Path | io.BytesIO) -> pd.DataFrame:
    import pandas as pd

    # As text where pandas would guess: 007 is a name, and it reads the last bit of a number wrong where in haste.
    texts = dict.fromkeys((*TEXTS, *NUMBERS), str)
    gaps = {column.name: ["", "nan"] for column in COLUMNS if column.type != "text"}
    return _typed(pd.read_csv(file, dtype=texts, keep_default_na=False, na_values=gaps))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Write control characters in the texts of a run as their escapes: runs are passed around, and then printed."""
    for column in table.select_dtypes(include=["object", "string", "category"]).columns:
        kinds = table[column].cat.categories if table[column].dtype == "category" else table[column].unique()
        texts = [text for text in kinds.tolist() if isinstance(text, str)]
        if not "".join(texts).isprintable():
            named = {text: printable(text) for text in texts if not text.isprintable()}
            if table[column].dtype == "category":
                table[column] = table[column].astype(object).replace(named).astype("category")
            else:
                table[column] = table[column].replace(named)
    return table


def write_rows(path: Path, frame: pd.DataFrame, form: TidyFormat) -> None:
    """Write tidy rows, one per cell and metric, making the folder; CSV is packed where the name ends in .gz.

    Equal rows give equal bytes, parquet apart. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        write_atomically(path, lambda place: _write_parquet(place, frame))
        return
    text = rows_text(frame, form)
    # Without a time stamp inside the archive, equal tables are equal files.
    write_atomically(path, gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text)


def _write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write rows whose categories come back as usual texts, whoever reads the file: Arrow's own schema is left out."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    place = table.column_names.index("cell") if "cell" in table.column_names else None
    schema = table.schema if place is None else table.schema.set(place, pa.field("cell", pa.string()))
    # Each group of rows holds the keys of its own cells, each once.
    with parquet.ParquetWriter(path, schema, store_schema=False, dictionary_pagesize_limit=DICTIONARY) as writer:
        for start in range(0, max(1, len(frame)), GROUP):
            writer.write_table(table.slice(start, GROUP).cast(schema))
        writer.add_key_value_metadata({"PANDAS_ATTRS": json.dumps(frame.attrs)})


def rows_text(frame: pd.DataFrame, form: Literal["csv", "json"]) -> str:
    """Write tidy rows as text. JSON: a list of objects, missing values null, infinite ones text ("inf")."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    records = [plain(row) for row in frame.to_dict("records")]
    # One row a line: a difference of two exports can be read.
    lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    return f"[\n{lines}\n]\n" if lines else "[]\n"

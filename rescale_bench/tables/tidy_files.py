"""Tidy rows as files: parquet, CSV, JSON; equal rows give equal bytes of CSV and JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

TidyFormat = Literal["parquet", "csv", "json"]


def write_rows(path: Path, frame: pd.DataFrame, form: TidyFormat) -> None:
    """Write tidy rows, one per cell and metric, making the folder; CSV is packed where the name ends in .gz.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        frame.to_parquet(path, index=False)
    elif form == "csv" and path.suffix == ".gz":
        # A fixed time stamp inside the archive keeps equal tables equal files.
        frame.to_csv(path, index=False, compression={"method": "gzip", "mtime": 0})
    else:
        path.write_text(rows_text(frame, "csv" if form == "csv" else "json"), encoding="utf-8", newline="")


def rows_text(frame: pd.DataFrame, form: Literal["csv", "json"]) -> str:
    """Write tidy rows as text. JSON: a list of objects, missing values null, infinite ones text ("inf")."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    records = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
    # One row a line: a difference of two exports can be read.
    lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value

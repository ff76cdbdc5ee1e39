"""Limits against small files that unpack to enormous ones; each can be raised by its environment variable.

The limit of pixels stands in `image`.
"""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

from rescale_bench.errors import StoreError, UsageError

BYTES_VARIABLE, TABLE_VARIABLE = "RESCALE_BENCH_MAX_BYTES", "RESCALE_BENCH_MAX_TABLE_BYTES"
DEFAULTS = {BYTES_VARIABLE: 32 * 2**30, TABLE_VARIABLE: 2 * 2**30}
"""Bytes of one download, and of all that one archive unpacks to; bytes of one table of rows, unpacked."""

DENSEST = 1032
"""DEFLATE makes at most so many bytes of one (two bits for a repetition of 258)."""
CHUNK_BYTES = 2**20


def limit_of(variable: str) -> int:
    """Read a limit in bytes from its variable, or its default. Raises UsageError."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return DEFAULTS[variable]
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) == 0:
        raise UsageError(f"{variable}='{text}' is not a number of bytes above 0")
    return int(text)


def refuse_large_table(path: Path) -> None:
    """Look at a packed table before anybody loads it.

    Raises StoreError over the limit, and what gzip and pyarrow raise for damaged files.
    """
    limit = limit_of(TABLE_VARIABLE)
    over = _packed_over(path, limit) if path.name.endswith(".gz") else _parquet_over(path, limit)
    if over:
        raise StoreError(f"{path} would unpack to more than {limit} bytes (raise {TABLE_VARIABLE})")


def _packed_over(path: Path, limit: int) -> bool:
    if path.stat().st_size * DENSEST <= limit:
        return False
    total = 0
    with gzip.open(path) as file:
        while total <= limit and (chunk := file.read(CHUNK_BYTES)):
            total += len(chunk)
    return total > limit


def _parquet_over(path: Path, limit: int) -> bool:
    """Count values: what repeats takes no room in the file, but a pointer or number each in memory."""
    from pyarrow import parquet

    about = parquet.read_metadata(path)
    packed = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
    return bool(max(packed, 8 * about.num_rows * about.num_columns) > limit)

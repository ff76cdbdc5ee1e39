"""Segments: finished cells that left the journal, sealed as columns in files of their own.

A segment is a Parquet file in the folder `segments`, `000001-5f3c2a10.parquet`: its number, and the CRC-32 of its
bytes. It is written whole, then the journal begins anew with a line that lists all segments; a kill between the two
leaves cells in both, which is one and the same cell twice, and the next opening lists the segment. Each carries the
name of its run, so that one that was copied from another run is seen.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import StoreError
from rescale_bench.machine.writing import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "segments"
RUN = b"rescale-bench run"
"""Where a segment's own text says which run it belongs to."""
NAME = re.compile(r"(\d{6,})-([0-9a-f]{8})\.parquet")


@dataclass(frozen=True)
class Sealed:
    """The segments of a run. run: its name, drawn with the first segment ("" without any). names: of their files."""

    run: str = ""
    names: tuple[str, ...] = ()

    @property
    def following(self) -> int:
        """The number of the next segment."""
        return 1 + max((int(name.partition("-")[0]) for name in self.names), default=0)


def write_segment(folder: Path, sealed: Sealed, cells: pa.Table) -> Sealed:
    """Write the next segment of a run folder; returns all that it has then. Raises OSError."""
    import pyarrow as pa
    from pyarrow import parquet

    run = sealed.run or secrets.token_hex(8)
    stream = pa.BufferOutputStream()
    named = cells.replace_schema_metadata({RUN: run.encode()})
    dictionaries = [name for name in cells.column_names if pa.types.is_dictionary(cells.schema.field(name).type)]
    parquet.write_table(named, stream, compression="zstd", use_dictionary=dictionaries, write_statistics=False)
    content = stream.getvalue().to_pybytes()
    name = f"{sealed.following:06}-{zlib.crc32(content):08x}.parquet"
    (folder / FOLDER).mkdir(exist_ok=True)
    write_atomically(folder / FOLDER / name, content)
    with contextlib.suppress(OSError):  # not on Windows
        # The journal is cut next: the new name must be on the disk before.
        handle = os.open(folder / FOLDER, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    return Sealed(run, (*sealed.names, name))


def read_segments(
    folder: Path, listed: Sealed, journal: Path, unread: Collection[str] = ()
) -> tuple[Sealed, list[pa.Table]]:
    """Read the segments of a run folder, the oldest first. listed: those that line 1 of the journal names.

    unread: columns that are left out.
    Returns what the folder holds: a segment that a kill left unlisted counts.
    Raises StoreError for the first segment that is missing, damaged or of another run.
    """
    there = {path.name: path for path in (folder / FOLDER).glob("[!.]*.parquet")}
    again = f"delete line 1 of {journal}, and its cells are measured again"
    for name in listed.names:
        if name not in there:
            path = folder / FOLDER / name
            raise StoreError(f"{path} is missing; put it back from a copy of the run, or {again}")
    tables, run = [], listed.run
    for name in sorted(there):
        found = NAME.fullmatch(name)
        unlisted = bool(listed.names) and name not in listed.names
        if found is None or (unlisted and int(found[1]) < listed.following):
            raise StoreError(f"{there[name]} is no segment of this run; move it away")
        content = there[name].read_bytes()
        if zlib.crc32(content) != int(found[2], 16):
            advice = f"put it back from a copy of the run, or delete it and {again}"
            raise StoreError(f"{there[name]} is damaged: its checksum does not fit; {advice}")
        table, of = _parsed(content, unread)
        run = run or of
        if table is None or of != run:
            raise StoreError(f"{there[name]} is no segment of this run; move it away")
        tables.append(table)
    return Sealed(run, tuple(sorted(there))), tables


def _parsed(content: bytes, unread: Collection[str]) -> tuple[pa.Table | None, str]:
    """Read a segment and the name of its run; (None, "") for a file of something else."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pa.BufferReader(content))
        schema = file.schema_arrow
        of = (schema.metadata or {}).get(RUN, b"").decode(errors="replace")
        if "cell" not in schema.names:
            return None, ""
        return file.read([name for name in schema.names if name not in unread]), of
    except (pa.ArrowException, OSError):
        return None, ""


def listing(sealed: Sealed) -> dict[str, Any]:
    """Write the first line of a journal that has segments."""
    return {"run": sealed.run, "segments": list(sealed.names)}


def read_listing(line: dict[str, Any]) -> Sealed:
    """Read what listing wrote. Raises ValueError for anything else."""
    names: Sequence[Any] = line["segments"]
    if not isinstance(line.get("run"), str) or not all(isinstance(n, str) and NAME.fullmatch(n) for n in names):
        raise ValueError("segments")
    return Sealed(line["run"], tuple(names))

"""A run folder open for writing: a lock, the journal, and the files made from it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rescale_bench.errors import StoreError, UsageError
from rescale_bench.machine.writing import reason, write_atomically
from rescale_bench.runs.columns import complete_keys, joined, settled, tabled
from rescale_bench.runs.folder import ABOUT, ENVIRONMENT, JOURNAL, LOCK, TABLE, Run
from rescale_bench.runs.journal import listed_segments, new_journal, read_lines, repair, sealed
from rescale_bench.runs.segments import read_segments, write_segment
from rescale_bench.runs.table import tidy, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

MADE_FROM = "made_from"
"""Attribute of a table: the segments and the size of the journal that it was made from."""
SEAL_VARIABLE = "RESCALE_BENCH_SEGMENT_LINES"
SEAL_LINES = 5_000
"""Lines of a journal that become a segment, where the variable says nothing else."""


class Store:
    """One run folder, open for appending. Only one process may hold it.

    Each journal line is one finished cell: its identity, its measurements, and under "values" the metrics.
    The latest line of a cell wins, value by value. A journal that has become long is sealed into a segment.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the folder, lock it, repair a half-written last line, and look through what it holds.

        Raises StoreError when it cannot be written, is held by another run, or is damaged in the middle.
        """
        self.folder = folder
        self.notes: list[str] = []
        self.seal_lines = _seal_lines()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / LOCK)
        except OSError as error:
            raise StoreError(
                f"cannot write to the output folder {folder}: {reason(error)}; choose another -o"
            ) from None
        try:
            for leftover in (*folder.glob(".*.tmp"), *folder.glob("segments/.*.tmp")):  # of a kill while it wrote
                leftover.unlink(missing_ok=True)
            journal = folder / JOURNAL
            if journal.exists():
                repair(journal, self.notes)
            else:
                journal.touch()
            self._segments, _ = read_segments(folder, listed_segments(journal), journal)
            self._count = sum(1 for _ in read_lines(journal))
            self._journal = journal.open("a", encoding="utf-8")
        except OSError as error:
            self._lock.close()
            raise StoreError(f"cannot use {folder / JOURNAL}: {reason(error)}") from None
        except StoreError:
            self._lock.close()
            raise
        try:
            self._seal_if_long()
        except StoreError:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def run(self) -> Run:
        """What the folder's files say now."""
        return Run(self.folder)

    def close(self) -> None:
        """Let go of the folder."""
        # The journal is fsynced line by line; a close that fails on a full disk loses nothing.
        with contextlib.suppress(OSError):
            self._journal.close()
        self._lock.close()

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one finished cell so that it survives a crash of the machine. Raises StoreError (disk full, …)."""
        self.extend((line,))

    def extend(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write several finished cells at once, with one wait for the disk. Raises StoreError (disk full, …)."""
        with self._writing(JOURNAL):
            self._journal.writelines(f"{sealed(line)}\n" for line in lines)
            self._journal.flush()
            os.fsync(self._journal.fileno())
        self._count += len(lines)
        self._seal_if_long()

    def _seal_if_long(self) -> None:
        if self._count >= self.seal_lines:
            self.seal()

    def seal(self, *more: pa.Table) -> None:
        """Seal the journal's lines and more cells into a segment, and begin the journal anew. Raises StoreError."""
        path = self.folder / JOURNAL
        # Read back: an interrupt may have come after a line was written, and nothing on the disk may be left out.
        cells = settled(joined([tabled(read_lines(path)), *more]))
        with self._writing("segments"):
            self._segments = write_segment(self.folder, self._segments, cells)
            self._journal.close()
            write_atomically(path, new_journal(self._segments))
            self._journal = path.open("a", encoding="utf-8")
        self._count = 0

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot write {self.folder / name}: {reason(error)}; "
                "what was measured before is kept: make room and run once more"
            ) from None

    def lines(self) -> dict[str, dict[str, Any]]:
        """Read the finished cells back as journal lines, by key."""
        return self.run.lines()

    def complete(self, versions: Mapping[str, str]) -> set[str]:
        """Give the keys of the cells that have a settled value of every metric. versions: of the metrics, by label."""
        return complete_keys(self.run.cells(), versions)

    def write_about(self, content: Mapping[str, Any]) -> None:
        """Write run.json: what was asked. Raises StoreError."""
        self.run.write(ABOUT, content)

    def write_environment(self, content: Mapping[str, Any]) -> None:
        """Write env.json: where it was measured. Raises StoreError."""
        self.run.write(ENVIRONMENT, content)

    def write_table(self) -> Path:
        """Write results.parquet from the journal. Raises StoreError."""
        table = tidy(self.run.cells(), self.run.metrics)
        table.attrs[MADE_FROM] = self._state()
        path = self.folder / TABLE
        try:
            write_rows(path, table, "parquet")
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {reason(error)}; the journal is kept: make room and run again"
            ) from None
        return path

    def table_is_current(self) -> bool:
        """Tell whether results.parquet was made from the journal as it is, by its size: clocks may go back."""
        from pyarrow import parquet

        try:
            about = parquet.read_schema(self.folder / TABLE).metadata or {}
            attributes = json.loads(about.get(b"PANDAS_ATTRS", b"{}"))
            return bool(attributes.get(MADE_FROM) == self._state())
        except (OSError, ValueError):  # no table, or a damaged one (ArrowInvalid is a ValueError)
            return False

    def _state(self) -> str:
        return " ".join((*self._segments.names[-1:], str((self.folder / JOURNAL).stat().st_size)))


def _seal_lines() -> int:
    text = os.environ.get(SEAL_VARIABLE, "").strip() or str(SEAL_LINES)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise UsageError(f"{SEAL_VARIABLE}='{text}' is not a number of lines above 0")
    return int(text)


def _lock(path: Path) -> TextIO:
    handle = path.open("a+", encoding="utf-8")
    try:
        import fcntl
    except ImportError:  # Windows: runs on one folder at once are the user's care there
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise StoreError(f"another run (process {holder}) writes to {path.parent}; wait or choose another -o") from None
    try:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
    except OSError:  # a full disk; closing tries to write once more
        with contextlib.suppress(OSError):
            handle.close()
        raise
    return handle

"""A run folder open for writing: a lock, the journal, and the files made from it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from rescale_bench.errors import StoreError
from rescale_bench.machine.writing import reason
from rescale_bench.runs.folder import ABOUT, ENVIRONMENT, JOURNAL, LOCK, TABLE, Run
from rescale_bench.runs.journal import checked, read_journal, repair, sealed, settle
from rescale_bench.runs.table import tidy, write_rows

JOURNAL_BYTES = "journal_bytes"
"""Attribute of a table: the size of the journal that it was made from."""


class Store:
    """One run folder, open for appending. Only one process may hold it.

    Each journal line is one finished cell: its identity, its measurements, and under "values" the metrics.
    The latest line of a cell wins, value by value.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the folder, lock it, repair a half-written last line and read the journal.

        Raises StoreError when it cannot be written, is held by another run, or is damaged in the middle.
        """
        self.folder = folder
        self.notes: list[str] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / LOCK)
        except OSError as error:
            raise StoreError(
                f"cannot write to the output folder {folder}: {reason(error)}; choose another -o"
            ) from None
        try:
            for leftover in folder.glob(".*.tmp"):  # of a run that was killed while it wrote
                leftover.unlink(missing_ok=True)
            self.cells = self._read()
            self._journal = (folder / JOURNAL).open("a", encoding="utf-8")
        except OSError as error:
            self._lock.close()
            raise StoreError(f"cannot use {folder / 'journal.jsonl'}: {reason(error)}") from None
        except StoreError:
            self._lock.close()
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
        try:
            for line in lines:
                self._journal.write(sealed(line) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise StoreError(
                f"cannot write {self.folder / 'journal.jsonl'}: {reason(error)}; "
                "what was measured before is kept: make room and run once more"
            ) from None
        for line in lines:
            settle(self.cells, checked(line))

    def write_about(self, content: Mapping[str, Any]) -> None:
        """Write run.json: what was asked. Raises StoreError."""
        self.run.write(ABOUT, content)

    def write_environment(self, content: Mapping[str, Any]) -> None:
        """Write env.json: where it was measured. Raises StoreError."""
        self.run.write(ENVIRONMENT, content)

    def write_table(self) -> Path:
        """Write results.parquet from the journal. Raises StoreError."""
        # Read back: an interrupt may have come between a line on the disk and its entry in memory.
        self.cells = read_journal(self.folder / JOURNAL)
        table = tidy(self.cells, self.run.metrics)
        table.attrs[JOURNAL_BYTES] = self._journal_bytes()
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
            return bool(attributes.get(JOURNAL_BYTES) == self._journal_bytes())
        except (OSError, ValueError):  # no table, or a damaged one (ArrowInvalid is a ValueError)
            return False

    def _journal_bytes(self) -> int:
        return (self.folder / JOURNAL).stat().st_size

    def _read(self) -> dict[str, dict[str, Any]]:
        path = self.folder / JOURNAL
        if not path.exists():
            return {}
        repair(path, self.notes)
        return read_journal(path)


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

"""A run folder: what was asked, where it ran, an append-only journal, and the tidy table made from it."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rescale_bench.errors import StoreError
from rescale_bench.machine.limits import refuse_large_table
from rescale_bench.machine.printable import printable
from rescale_bench.runs.journal import checked, sealed, unsealed
from rescale_bench.runs.schema import COLUMNS, NEEDED, NUMBERS, SCHEMA, TEXTS
from rescale_bench.runs.table import complete, tidy

if TYPE_CHECKING:
    import pandas as pd

READABLE = (1, SCHEMA)
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
            self._lock = _lock(folder / "lock")
        except OSError as error:
            raise StoreError(
                f"cannot write to the output folder {folder}: {_reason(error)}; choose another -o"
            ) from None
        try:
            self.cells = self._read()
            self._journal = (folder / "journal.jsonl").open("a", encoding="utf-8")
        except OSError as error:
            self._lock.close()
            raise StoreError(f"cannot use {folder / 'journal.jsonl'}: {_reason(error)}") from None
        except StoreError:
            self._lock.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

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
                self._journal.write(sealed(_plain(line)) + "\n")
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise StoreError(
                f"cannot write {self.folder / 'journal.jsonl'}: {_reason(error)}; "
                "what was measured before is kept: make room and run once more"
            ) from None
        for line in lines:
            settle(self.cells, checked(line))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write run.json or env.json atomically. Raises StoreError."""
        self._replace(
            name, lambda path: path.write_text(json.dumps(_plain(content), indent=2) + "\n", encoding="utf-8")
        )

    def read_json(self, name: str) -> dict[str, Any]:
        """Read run.json or env.json; empty when absent or damaged (they are written anew by every run)."""
        return read_json(self.folder / name)

    def write_table(self) -> Path:
        """Write results.parquet from the journal, atomically. Raises StoreError."""
        # Read back: an interrupt may have come between a line on the disk and its entry in memory.
        self.cells = read_journal(self.folder / "journal.jsonl")
        table = tidy(self.cells, self.read_json("run.json").get("metrics", {}))
        table.attrs[JOURNAL_BYTES] = self._journal_bytes()
        self._replace("results.parquet", lambda path: table.to_parquet(path, index=False))
        return self.folder / "results.parquet"

    def table_is_current(self) -> bool:
        """Tell whether results.parquet was made from the journal as it is, by its size: clocks may go back."""
        from pyarrow import parquet

        try:
            about = parquet.read_schema(self.folder / "results.parquet").metadata or {}
            attributes = json.loads(about.get(b"PANDAS_ATTRS", b"{}"))
            return bool(attributes.get(JOURNAL_BYTES) == self._journal_bytes())
        except (OSError, ValueError):  # no table, or a damaged one (ArrowInvalid is a ValueError)
            return False

    def _journal_bytes(self) -> int:
        return (self.folder / "journal.jsonl").stat().st_size

    def _replace(self, name: str, write: Any) -> None:
        temporary = self.folder / f".{name}.tmp"
        try:
            write(temporary)
            os.replace(temporary, self.folder / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"cannot write {self.folder / name}: {_reason(error)}; the journal is kept: make room and run again"
            ) from None

    def _read(self) -> dict[str, dict[str, Any]]:
        path = self.folder / "journal.jsonl"
        if not path.exists():
            return {}
        _repair(path, self.notes)
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


def _repair(path: Path, notes: list[str]) -> None:
    """Cut off a last line that a kill or a full disk left half-written."""
    with path.open("rb+") as handle:
        content = handle.read()
        end = len(content)
        if content and not content.endswith(b"\n"):
            end = content.rfind(b"\n") + 1
            notes.append(f"{path}: the last line was half-written (a killed run); it is measured again")
            handle.truncate(end)


def read_journal(path: Path) -> dict[str, dict[str, Any]]:
    """Read finished cells by key; a half-written last line is passed over.

    Raises StoreError naming the line when one in the middle is damaged.
    """
    cells: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(_complete_lines(path), start=1):
        try:
            line = unsealed(text)
            schema = line["schema"]
            # A later schema is refused before its fields are looked at.
            read = checked(line) if schema in READABLE else line
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise StoreError(
                f"{path}, line {number} is damaged; delete it (its cell is measured again) and run once more"
            ) from None
        if schema not in READABLE:
            raise StoreError(f"{path} has schema {schema}, this version reads up to {SCHEMA}; use another -o")
        settle(cells, read)
    return cells


def _complete_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as handle:
        for raw in handle:
            if raw.endswith(b"\n") and raw.strip():
                yield raw.decode("utf-8", errors="replace")


def settle(cells: dict[str, dict[str, Any]], line: dict[str, Any]) -> None:
    """Add one line to the cells known so far: the latest wins, value by value; a failure wipes nothing measured."""
    old = cells.get(line["cell"])
    if old is None or old["status"] == "failed" or line["status"] == "failed":
        if old is not None and old["status"] != "failed":
            return  # a re-measurement that failed does not wipe what is known
        cells[line["cell"]] = line
    else:
        cells[line["cell"]] = {**old, **line, "values": {**old["values"], **line["values"]}}


def read_table(folder: Path) -> pd.DataFrame:
    """Read a run (its folder, its results.parquet, or a tidy parquet, CSV or JSON-lines journal) as a tidy table.

    The journal of a folder counts, so that a killed run can be read too. Raises StoreError.
    """
    import pandas as pd

    try:
        if folder.is_dir():
            journal = folder / "journal.jsonl"
            if not journal.exists():
                raise StoreError(f"{folder} holds no run (no journal.jsonl in it)")
            return _readable(tidy(read_journal(journal), read_json(folder / "run.json").get("metrics", {})))
        if folder.suffix != ".csv":
            refuse_large_table(folder)
        if folder.suffix == ".csv" or folder.name.endswith(".csv.gz"):
            gaps = {column.name: ["", "nan"] for column in COLUMNS if column.type != "text"}
            # pandas reads the last bit of a number wrong where it is in haste; float() never does.
            texts = dict.fromkeys((*TEXTS, *NUMBERS), str)
            table = pd.read_csv(folder, dtype=texts, keep_default_na=False, na_values=gaps)
            for name in set(NUMBERS) & set(table.columns):
                table[name] = table[name].map(float).astype("float64")
        else:
            table = pd.read_parquet(folder)
    except FileNotFoundError:
        raise StoreError(f"there is no run at {folder}") from None
    except StoreError:
        raise
    except Exception as error:  # pyarrow and pandas raise many kinds
        raise StoreError(
            f"cannot read {folder} as a run: {str(error) or type(error).__name__}".splitlines()[0]
        ) from None
    missing = set(NEEDED) - set(table.columns)
    if missing:
        raise StoreError(f"{folder} is no tidy run: it lacks the columns {', '.join(sorted(missing))}")
    return _readable(complete(table))


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Write control characters in the texts of a run as their escapes: runs are passed around, and then printed."""
    for column in table.select_dtypes(include=["object", "string"]).columns:
        odd = {one: printable(one) for one in table[column].unique() if isinstance(one, str) and not one.isprintable()}
        if odd:
            table[column] = table[column].replace(odd)
    return table


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty when the file is absent or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _plain(value: Any) -> Any:
    """Make floats that JSON lacks into text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

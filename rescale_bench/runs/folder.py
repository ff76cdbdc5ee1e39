"""A run on the disk: a folder, or a bare file of tidy rows. Only this room knows which files a folder holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import StoreError
from rescale_bench.machine.memory import few_collections
from rescale_bench.machine.writing import reason, write_atomically
from rescale_bench.runs.columns import joined, lines_of, settled, tabled
from rescale_bench.runs.journal import listed_segments, plain, read_lines
from rescale_bench.runs.outputs import Outputs
from rescale_bench.runs.schema import COLUMNS, NAMES, OF_CELL, ORDER
from rescale_bench.runs.segments import FOLDER as SEGMENTS
from rescale_bench.runs.segments import read_segments
from rescale_bench.runs.submission import CARD, ENDING, read_submission
from rescale_bench.runs.table import plain_texts, read_rows, readable, tidy

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

JOURNAL, TABLE, ABOUT, ENVIRONMENT = "journal.jsonl", "results.parquet", "run.json", "env.json"
LOCK, OUTPUTS, SOURCES, CURVES = "lock", "outputs", "sources", "direct-jpeg.json"


@dataclass(frozen=True)
class Run:
    """A stored run; each part is read when it is first asked for."""

    path: Path
    """What the user named: a run folder, its results.parquet, another file of tidy rows, or a submission."""

    @cached_property
    def folder(self) -> Path | None:
        """The run folder; None for a bare file, which is all that there is of its run."""
        return self.path if self.path.is_dir() else self.path.parent if self.path.name == TABLE else None

    @property
    def name(self) -> str:
        """What people call it: its folder, or the name of the file."""
        return self.folder.resolve().name if self.folder else self.path.name

    @few_collections()
    def rows(self, names: Collection[str] = NAMES) -> pd.DataFrame:
        """Read the tidy rows, texts as categories; a folder's from its cells, so that a killed run can be read too.

        names: the columns that are wanted; a file has all of its own. Raises StoreError.
        """
        try:
            return readable(self._rows(names))
        except FileNotFoundError:
            raise StoreError(f"there is no run at {self.path}") from None
        except StoreError:
            raise
        except Exception as error:  # pyarrow and pandas raise many kinds
            text = str(error) or type(error).__name__
            raise StoreError(f"cannot read {self.path} as a run: {text}".splitlines()[0]) from None

    def _rows(self, names: Collection[str]) -> pd.DataFrame:
        if self.path.is_dir():
            unread = [column.name for column in OF_CELL if column.name not in (*names, *ORDER, "cell")]
            return tidy(self.cells(unread), self.metrics, names)
        if self.path.suffix == ".jsonl":
            return tidy(settled(tabled(read_lines(self.path))), {}, names)
        return read_rows(self.path)

    def cells(self, unread: Collection[str] = ()) -> pa.Table:
        """Read the finished cells of a folder as columns (rescale_bench.runs.columns), one row each.

        unread: columns that may be left out. Raises StoreError where it holds no run or a damaged one.
        """
        journal = self.path / JOURNAL
        if not self.measured:
            raise StoreError(
                f"{journal} is missing; put it back from a copy, or run once more: what the segments hold is kept"
                if (self.path / SEGMENTS).is_dir()
                else f"{self.path} holds no run (no {JOURNAL} in it)"
            )
        while True:
            listed = listed_segments(journal)
            _, tables = read_segments(self.path, listed, journal, unread)
            lines = tabled(read_lines(journal))
            if listed_segments(journal) == listed:  # else a run sealed its lines meanwhile
                return settled(joined([*tables, lines]))

    def lines(self) -> dict[str, dict[str, Any]]:
        """Read the finished cells of a folder as journal lines, by key: for a few. Raises StoreError as cells."""
        return {line["cell"]: line for line in lines_of(self.cells())}

    @property
    def measured(self) -> bool:
        """Whether it is a folder with a journal."""
        return (self.path / JOURNAL).is_file()

    @property
    def table(self) -> Path:
        """The file of its tidy rows that people take away, made at the end of a `run`."""
        return self.path if self.folder is None else self.folder / TABLE

    def read(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder or submission; empty where it is absent or damaged."""
        try:
            if self.path.suffix == ENDING and self.path.is_file():
                content = json.loads(read_submission(self.path).get(name, b"{}"))
            else:  # every run writes these anew
                content = json.loads((self.folder / name).read_text(encoding="utf-8")) if self.folder else {}
        except (OSError, ValueError, StoreError):
            return {}
        return content if isinstance(content, dict) else {}

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into the folder. Raises StoreError."""
        path = (self.folder or self.path) / name
        try:
            write_atomically(path, json.dumps(plain(content), indent=2) + "\n")
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {reason(error)}; what was measured before is kept: make room and run once more"
            ) from None

    @cached_property
    def about(self) -> dict[str, Any]:
        """What run.json says; empty where there is none."""
        return self.read(ABOUT)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """What env.json says; empty where there is none."""
        return self.read(ENVIRONMENT)

    @cached_property
    def card(self) -> dict[str, Any]:
        """What submission.json says; empty where this is no submission."""
        return self.read(CARD)

    @property
    def asked(self) -> dict[str, Any]:
        """The last request on this folder, by names of its settings."""
        asked = self.about.get("asked")
        return asked if isinstance(asked, dict) else {}

    @property
    def history(self) -> tuple[str, ...]:
        """The commands that made it, in order."""
        history = self.about.get("history")
        return tuple(map(str, history)) if isinstance(history, list) else ()

    @property
    def metrics(self) -> dict[str, Any]:
        """What it says of each metric (direction, unit, …), by label; nothing else is passed on."""
        found = self.about.get("metrics")
        metrics = {} if not isinstance(found, dict) else {key: of for key, of in found.items() if isinstance(of, dict)}
        return {
            label: {c.name: said[c.name] for c in COLUMNS if c.role == "metric" and c.fits(said.get(c.name))}
            for label, said in metrics.items()
        }

    @property
    def outputs(self) -> Outputs:
        """The pictures that it stored."""
        return Outputs(self.folder / OUTPUTS if self.folder else None)


def read_table(path: Path) -> pd.DataFrame:
    """Read the tidy rows of a run: a run folder, or a parquet, CSV (.csv, .csv.gz) or JSON file. Raises StoreError."""
    return plain_texts(Run(path).rows())


def newest_run(parent: Path) -> Path | None:
    """Find the run folder inside parent whose journal was written last; None where there is none."""
    journals = sorted(parent.glob(f"*/{JOURNAL}"), key=lambda path: path.stat().st_mtime)
    return journals[-1].parent if journals else None

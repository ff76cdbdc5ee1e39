"""Merging of runs: the cells of several run folders in a new one, by the rules of the journal.

The new folder is a run like any other. What each source said of itself stays in `sources/<number>-<name>/`
(run.json, env.json), and each journal line names the source it came from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescale_bench.errors import StoreError, UsageError
from rescale_bench.machine.writing import reason
from rescale_bench.runs.columns import VALUE, entry_is, joined, lines_of, metrics_of, settled, with_more
from rescale_bench.runs.folder import ABOUT, ENVIRONMENT, OUTPUTS, SOURCES, Run
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

Prefer = Literal["", "first", "last"]
SEGMENT = 100_000
"""Cells that a merged run keeps in one segment."""


@dataclass(frozen=True)
class Source:
    """One source: what it is called in the new run, and its finished cells as columns."""

    name: str
    run: Run
    cells: pa.Table


@dataclass(frozen=True)
class Conflict:
    """One metric of one cell that two sources give differently; first, second: what they say."""

    line: Mapping[str, Any]
    metric: str
    first: str
    second: str

    def __str__(self) -> str:
        """Name the cell by key and in words."""
        line = self.line
        method = f"{line['method']}:{line['options']}" if line.get("options") else line["method"]
        words = f"{method}, {line['dataset']}/{line['image']} ×{line['scale']}, {line['codec']}, {line['protocol']}"
        return f"cell {line['cell']} ({words}): {self.metric} is {self.first} and {self.second}"


@dataclass(frozen=True)
class Merged:
    """What became of a merge. sources: (name, cells) each. cells: of the new run. shared: those of several sources."""

    folder: Path
    sources: tuple[tuple[str, int], ...]
    cells: int
    shared: int


def merge_runs(folders: Sequence[Path], output: Path, command: str, prefer: Prefer = "") -> Merged:
    """Write a new run folder with the cells of all sources; the sources are only read.

    A cell of several sources counts once: a failure never hides a measured one, metrics add up, and where both
    measured a metric the numbers must agree bit for bit (clocks and memory apart, the later source counts).
    prefer: whose numbers count where they do not. command: for the new run's history.
    Kept outputs are copied. The folder appears when it is complete, or not at all.
    Raises UsageError for differing numbers, the same folder twice and an output that exists; StoreError.
    """
    import pyarrow as pa
    from pyarrow import compute as pc

    sources = _read(folders)
    _check_output(output, sources)
    conflicts = find_conflicts(sources)
    if conflicts and not prefer:
        more = f" ({len(conflicts) - 1} more numbers differ)" if len(conflicts) > 1 else ""
        raise UsageError(f"merge: {conflicts[0]}{more}; choose with --prefer first or --prefer last")
    ordered = sources[::-1] if prefer == "first" else sources
    merged = settled(joined([_with_origin(source) for source in ordered]))
    keys = pc.unique(pa.chunked_array([source.cells["cell"].combine_chunks() for source in sources]))
    merged = merged.take(pc.index_in(keys, merged["cell"].combine_chunks()))
    description = _describe(sources, ordered, command)
    temporary = output.parent / f".{output.name}.{os.getpid()}.tmp"
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _write(temporary, ordered, merged, description)
        os.replace(temporary, output)
    except OSError as error:
        raise StoreError(f"cannot write {output}: {reason(error)}; choose another -o") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    counts = tuple((source.name, source.cells.num_rows) for source in sources)
    return Merged(output, counts, len(keys), sum(n for _, n in counts) - len(keys))


def _read(folders: Sequence[Path]) -> list[Source]:
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise UsageError("merge: give at least two different run folders")
    sources = []
    for number, folder in enumerate(folders, start=1):
        run = Run(folder)
        if not run.measured:
            raise StoreError(f"{folder} is no run folder (no journal in it); only run folders can be merged")
        sources.append(Source(f"{number}-{run.name}", run, run.cells()))
    return sources


def _check_output(output: Path, sources: Sequence[Source]) -> None:
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise UsageError(f"merge: {output} exists; -o takes a new folder")
    if any(source.run.path.resolve() in output.resolve().parents for source in sources):
        raise UsageError(f"merge: {output} lies inside a run that is merged; choose another -o")


def find_conflicts(sources: Sequence[Source]) -> Conflicts:
    """Find every repeatable number on which a source disagrees with the first one that measured it."""
    import numpy as np

    clocks = {
        metric for source in sources for metric, about in source.run.metrics.items() if about.get("repeatable") is False
    }
    cells = joined([source.cells for source in sources])
    keys = cells["cell"].combine_chunks().dictionary_encode()
    owner = keys.indices.to_numpy()
    found: list[tuple[int, int, str]] = []
    for label in metrics_of(cells) if len(keys.dictionary) < cells.num_rows else ():
        if label in clocks:
            continue
        undefined = entry_is(cells, label, ("undefined",))
        rows = np.flatnonzero(undefined | entry_is(cells, label, ("ok",)))
        first = np.full(len(keys.dictionary), -1)
        first[owner[rows[::-1]]] = rows[::-1]  # of several NumPy keeps the last, which is the first of all
        earlier = first[owner[rows]]
        bits = cells[VALUE + label].to_numpy().view(np.int64)
        same = np.where(undefined[rows], undefined[earlier], ~undefined[earlier] & (bits[rows] == bits[earlier]))
        found += [(int(row), int(first), label) for row, first in zip(rows[~same], earlier[~same], strict=True)]
    return Conflicts(sources, cells, tuple(sorted(found)))


@dataclass(frozen=True)
class Conflicts(Sequence[Conflict]):
    """Conflicts, each made when it is looked at. found: (row, row of the first source, metric) of the cells each."""

    sources: Sequence[Source]
    cells: pa.Table
    found: tuple[tuple[int, int, str], ...]

    def __len__(self) -> int:
        """Count them."""
        return len(self.found)

    def __getitem__(self, index: Any) -> Any:
        """Make one."""
        row, first, label = self.found[index]
        (line,), (known,) = (list(lines_of(self.cells.slice(place, 1))) for place in (row, first))
        entry, other = line["values"][label], known["values"][label]
        return Conflict(line, label, _say(other, entry, self._name(first)), _say(entry, other, self._name(row)))

    def _name(self, row: int) -> str:
        for source in self.sources:
            if row < source.cells.num_rows:
                return source.name
            row -= source.cells.num_rows
        raise IndexError(row)


def _say(entry: Mapping[str, Any], other: Mapping[str, Any], name: str) -> str:
    value = "undefined" if entry["status"] == "undefined" else repr(entry["value"])
    versions = f" (version {entry.get('version')})" if entry.get("version") != other.get("version") else ""
    return f"{value}{versions} in {name}"


def _with_origin(source: Source) -> pa.Table:
    """Name the source of each cell; of one that was merged before, the way it came."""

    def named(more: dict[str, Any]) -> dict[str, Any]:
        return {**more, "source": f"{source.name}/{more['source']}" if more.get("source") else source.name}

    return with_more(source.cells, named)


def _describe(sources: Sequence[Source], ordered: Sequence[Source], command: str) -> dict[str, Any]:
    history = [text for source in sources for text in source.run.history]
    return {
        "schema": SCHEMA,
        "asked": {},
        "history": list(dict.fromkeys([*history, command])),
        "metrics": {name: about for source in ordered for name, about in source.run.metrics.items()},
        "merged": [{"source": source.name, "folder": str(source.run.path)} for source in sources],
    }


def _write(folder: Path, ordered: Sequence[Source], cells: pa.Table, about: dict[str, Any]) -> None:
    with Store(folder) as store:
        store.write_about(about)
        named = sorted(ordered, key=lambda source: int(source.name.partition("-")[0]))
        store.write_environment({source.name: source.run.environment for source in named})
        if cells.num_rows < store.seal_lines:
            store.extend(list(lines_of(cells)))
        else:
            for start in range(0, cells.num_rows, SEGMENT):
                store.seal(cells.slice(start, SEGMENT))
        store.write_table()
    for source in ordered:
        said = folder / SOURCES / source.name
        said.mkdir(parents=True)
        for name in (ABOUT, ENVIRONMENT):
            if (source.run.path / name).is_file():
                shutil.copyfile(source.run.path / name, said / name)
        # Copies, not links: a later run may write them anew, and the sources are not to be touched.
        for name, target in ((SOURCES, said / SOURCES), (OUTPUTS, folder / OUTPUTS)):
            if (source.run.path / name).is_dir():
                shutil.copytree(source.run.path / name, target, ignore=_links, dirs_exist_ok=True)


def _links(folder: str, names: Sequence[str]) -> set[str]:
    """Name the links of a folder: a run from elsewhere must not bring files of this machine into the merged one."""
    return {name for name in names if Path(folder, name).is_symlink()}

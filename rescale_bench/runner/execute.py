"""Run a request: resume what is stored, measure the rest, keep every finished cell at once."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescale_bench import environment
from rescale_bench.errors import RescaleBenchError, UnavailableError
from rescale_bench.plugin_manager import Registry
from rescale_bench.runner.cells import Cell, Plan, missing_values, plan, preflight
from rescale_bench.runner.keep import kept
from rescale_bench.runner.progress import tracked
from rescale_bench.runner.request import Request
from rescale_bench.runner.worker import Setup, run_cell
from rescale_bench.store import SCHEMA, Store


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    folder: the run's. cells: keys that were asked for. measured, cached: counts.
    failures: journal lines of the cells that failed. notes: what a user should know.
    """

    folder: Path
    cells: tuple[str, ...]
    measured: int
    cached: int
    failures: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """0 all measured, 1 some failed, 130 interrupted (design, section 3)."""
        return 130 if self.interrupted else 1 if self.failures else 0


@dataclass(frozen=True)
class DryRun:
    """What a run would do: counts per method, and the seconds it may take where cells like it were timed."""

    folder: Path
    rows: tuple[tuple[str, int, int, float | None], ...]
    notes: tuple[str, ...]


def dry_run(request: Request, registry: Registry) -> DryRun:
    """Count cells: (method, asked, missing, estimated seconds or None) per method. Writes nothing."""
    from rescale_bench.store import read_journal

    grid = plan(request, registry)
    preflight(grid, registry)
    journal = request.folder / "journal.jsonl"
    known = read_journal(journal) if journal.exists() else {}
    rows = []
    for method in dict.fromkeys(_label(cell) for cell in grid.cells):
        cells = [cell for cell in grid.cells if _label(cell) == method]
        missing = [cell for cell in cells if missing_values(cell, known.get(cell.cell), grid.metrics)]
        seconds = [line["seconds"] for line in known.values() if line["method"] == cells[0].method]
        estimate = sum(seconds) / len(seconds) * len(missing) / request.jobs if seconds else None
        rows.append((method, len(cells), len(missing), 0.0 if not missing else estimate))
    return DryRun(request.folder, tuple(rows), grid.notes)


def _label(cell: Cell) -> str:
    name = f"{cell.method}:{cell.options}" if cell.options else cell.method
    return f"{name} [{cell.weights}]" if cell.weights else name


def execute(request: Request, registry: Registry, command: Sequence[str], quiet: bool = False) -> Outcome:
    """Run what is missing of a request.

    Raises UsageError, UnavailableError and StoreError before or between cells; finished cells are always kept.
    """
    grid = plan(request, registry)
    preflight(grid, registry)
    device = _device(request.device)
    with Store(request.folder) as store:
        _describe(store, request, grid, command)
        outputs = store.folder / "outputs" if request.keep else None
        pending = [cell for cell in grid.cells if _wanted(cell, store, grid, outputs)]
        labels = tuple(metric.label for metric in grid.metrics)
        setup = Setup(request.plugins, labels, device, request.threads_each, str(outputs or ""))
        done, interrupted, trouble = _measure(store, setup, pending, request.jobs, quiet)
        store.write_table()
        lines = [store.cells[cell.cell] for cell in grid.cells if cell.cell in store.cells]
        failures = tuple(line for line in lines if line["status"] == "failed")
        notes = (*store.notes, *grid.notes, *trouble)
    keys = tuple(cell.cell for cell in grid.cells)
    cached = len(grid.cells) - len(pending)
    return Outcome(request.folder, keys, done, cached, failures, notes, interrupted)


def _wanted(cell: Cell, store: Store, grid: Plan, outputs: Path | None) -> bool:
    """Tell whether a cell lacks a value, or its images where these are to be kept."""
    if missing_values(cell, store.cells.get(cell.cell), grid.metrics):
        return True
    return outputs is not None and not kept(outputs, cell.cell)


def _measure(
    store: Store, setup: Setup, pending: Sequence[Cell], jobs: int, quiet: bool
) -> tuple[int, bool, list[str]]:
    done = 0
    try:
        for line in tracked(_lines(setup, pending, jobs), len(pending), quiet):
            store.append(line)
            done += 1
    except KeyboardInterrupt:
        return done, True, [f"interrupted: {done} cells kept; the same command goes on from here"]
    return done, False, []


def _lines(setup: Setup, cells: Sequence[Cell], jobs: int) -> Iterable[dict[str, Any]]:
    if jobs == 1 or len(cells) < 2:
        return (run_cell(setup, cell) for cell in cells)
    return _parallel(setup, cells, jobs)


def _parallel(setup: Setup, cells: Sequence[Cell], jobs: int) -> Iterator[dict[str, Any]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    # One cell a task: what is in flight when a run is killed is one cell a worker.
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    try:
        yield from parallel(delayed(run_cell)(setup, cell) for cell in cells)
    except TerminatedWorkerError:
        raise RescaleBenchError(
            "a worker process was killed, perhaps for want of memory; what was measured is kept: "
            "run the same command again with fewer -j"
        ) from None


def _device(name: str) -> str:
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        usable = device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count())
    except RuntimeError:
        usable = False
    if not usable:
        raise UnavailableError(f"--device: {name} is not to be had here; use cpu or auto")
    return name


def _describe(store: Store, request: Request, grid: Plan, command: Sequence[str]) -> None:
    """Write run.json and env.json; what earlier requests on this folder said of their metrics stays."""
    old = store.read_json("run.json")
    about = {
        metric.label: {
            "direction": metric.record.direction,
            "unit": metric.record.unit,
            "decimals": metric.record.decimals,
            "pool": metric.record.pool,
            "repeatable": metric.record.repeatable,
        }
        for metric in grid.metrics
    }
    text = shlex.join(command)
    history = [*old.get("history", []), text] if [text] != old.get("history", [])[-1:] else old["history"]
    content = {
        "schema": SCHEMA,
        "asked": request.asked(),
        "history": history,
        "metrics": {**old.get("metrics", {}), **about},
    }
    store.write_json("run.json", content)
    store.write_json("env.json", environment.describe())

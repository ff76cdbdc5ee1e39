"""Run a request: resume what is stored, measure the rest, keep every finished cell at once."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescale_bench.api.metrics import about
from rescale_bench.api.registry import Registry
from rescale_bench.machine import environment
from rescale_bench.machine.device import usable_device
from rescale_bench.networks.compiling import check_compiler
from rescale_bench.runner.backends import lines
from rescale_bench.runner.cells import Cell, Plan, missing_values, plan, preflight
from rescale_bench.runner.progress import tracked
from rescale_bench.runner.request import Request, cores
from rescale_bench.runner.schedule import in_order
from rescale_bench.runner.setup import Setup
from rescale_bench.runs.outputs import kept
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.store import Store
from rescale_bench.weights.downloads import file_sha256

log = logging.getLogger(__name__)


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
    from rescale_bench.runs.store import read_journal

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


def execute(
    request: Request, registry: Registry, command: Sequence[str], quiet: bool = False, verbose: bool = False
) -> Outcome:
    """Run what is missing of a request. verbose: write steps and tracebacks of failed cells to stderr.

    Raises UsageError, UnavailableError and StoreError before or between cells; finished cells are always kept.
    """
    grid = plan(request, registry)
    preflight(grid, registry)
    if request.compile:
        check_compiler()
    # Which devices there are is for the workers to know.
    device = request.device if request.backend == "dask" else usable_device(request.device)
    with Store(request.folder) as store:
        known = store.read_json("run.json").get("metrics")
        _describe(store, request, grid, command)
        outputs = store.folder / "outputs" if request.keep else None
        pending = [cell for cell in grid.cells if _wanted(cell, store, grid, outputs)]
        setup = _setup(request, registry, grid, device, outputs, verbose)
        if pending:
            store.write_json("env.json", _environment(store, request, setup))
        log.debug("%d cells, %d to measure, %d torch threads each", len(grid.cells), len(pending), setup.threads)
        done, interrupted, trouble = _measure(store, lines(request, setup, in_order(pending)), len(pending), quiet)
        if pending or not _table_holds(store, known):
            store.write_table()
        found = [store.cells[cell.cell] for cell in grid.cells if cell.cell in store.cells]
        failures = tuple(line for line in found if line["status"] == "failed")
        notes = (*store.notes, *grid.notes, *_crowding(request), *trouble)
    keys = tuple(cell.cell for cell in grid.cells)
    cached = len(grid.cells) - len(pending)
    return Outcome(request.folder, keys, done, cached, failures, notes, interrupted)


def _wanted(cell: Cell, store: Store, grid: Plan, outputs: Path | None) -> bool:
    """Tell whether a cell lacks a value, or its images where these are to be kept."""
    if missing_values(cell, store.cells.get(cell.cell), grid.metrics):
        return True
    return outputs is not None and not kept(outputs, cell.cell)


def _setup(request: Request, registry: Registry, grid: Plan, device: str, outputs: Path | None, verbose: bool) -> Setup:
    quiet = any("quiet" in metric.record.needs for metric in grid.metrics)
    beside = request.scores_beside(device) and not quiet
    return Setup(
        plugins=registry.files,
        metrics=tuple(metric.label for metric in grid.metrics),
        device=device,
        threads=max(1, request.threads_each - beside),
        keep=str(outputs or ""),
        versions=tuple(metric.record.version for metric in grid.metrics),
        auto_tile=request.tile == "auto",
        share=request.jobs,
        timeout=request.timeout,
        memory_limit=request.memory_bytes,
        traces=verbose,
        beside=beside,
    )


def _table_holds(store: Store, metrics: object) -> bool:
    """Tell whether results.parquet already says all that the journal does: a finished run is left in peace."""
    return store.table_is_current() and metrics == store.read_json("run.json").get("metrics")


def _crowding(request: Request) -> list[str]:
    there = cores()
    if request.backend == "dask" or request.jobs * request.threads_each <= there:
        return []
    return [f"-j {request.jobs} with {request.threads_each} threads each is more than the {there} cores there are"]


def _measure(store: Store, measured: Iterator[dict[str, Any]], total: int, quiet: bool) -> tuple[int, bool, list[str]]:
    done = 0
    try:
        for line in tracked(measured, total, quiet):
            trace = line.pop("trace", "")
            store.append(line)
            done += 1
            log.debug("%s x%s %s: %s in %.3f s", line["method"], line["scale"], line["image"], line["status"],
                      line["seconds"])  # fmt: skip
            if trace:
                log.debug("%s\n%s", line["error"], trace.rstrip())
    except KeyboardInterrupt:
        return done, True, [f"interrupted: {done} cells kept; the same command goes on from here"]
    return done, False, []


def _describe(store: Store, request: Request, grid: Plan, command: Sequence[str]) -> None:
    """Write run.json; what earlier requests on this folder said of their metrics stays."""
    old = store.read_json("run.json")
    described = {metric.label: about(metric.record, metric.label) for metric in grid.metrics}
    text = shlex.join(command)
    history = [*old.get("history", []), text] if [text] != old.get("history", [])[-1:] else old["history"]
    content = {
        "schema": SCHEMA,
        "asked": {**request.asked(), "metrics": ",".join(metric.label for metric in grid.metrics)},
        "history": history,
        "metrics": {**old.get("metrics", {}), **described},
    }
    store.write_json("run.json", content)


def _environment(store: Store, request: Request, setup: Setup) -> dict[str, Any]:
    """Describe where the cells that follow are measured; what env.json said of earlier ones stays in it."""
    import torch  # noqa: F401  # its switches are read where it is loaded, and whoever measures loads it

    found = environment.describe()
    # Of each process, set when it begins.
    found["threads"] |= {"torch": setup.threads, "beside": int(setup.beside)}
    found["workers"] = {"backend": request.backend, "processes": request.jobs, "device": setup.device}
    found["plugin_files"] = {path: file_sha256(Path(path)) for path in setup.plugins}
    return environment.with_earlier(found, store.read_json("env.json"))

"""Run a request: resume what is stored, measure the rest, keep every finished cell at once."""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.metrics import about
from rescale_bench.api.registry import Registry
from rescale_bench.api.specs import method_label
from rescale_bench.machine import environment
from rescale_bench.machine.device import usable_cores, usable_device
from rescale_bench.networks.compiling import check_compiler
from rescale_bench.runner.cells import Plan
from rescale_bench.runner.dispatch import dispatch
from rescale_bench.runner.job import Setup
from rescale_bench.runner.plan import plan, preflight
from rescale_bench.runner.request import Request
from rescale_bench.runner.schedule import batches
from rescale_bench.runner.set_metrics import measure_sets, plan_sets
from rescale_bench.runner.worker import Line
from rescale_bench.runs.columns import complete_keys, lines_of, status_is, tabled
from rescale_bench.runs.folder import Run
from rescale_bench.runs.outputs import Outputs
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.store import Store
from rescale_bench.weights.stored import sha256

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

Track = Callable[[Iterator[Line], int], Iterator[Line]]
"""(lines, how many there will be) → the same lines, while somebody is shown how far the run is."""


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
    failures: tuple[Line, ...]
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
    grid = plan(request, registry)
    preflight(grid)
    run = Run(request.folder)
    stored = run.cells() if run.measured else tabled(())
    complete, keys = complete_keys(stored, _versions(grid)), grid.cell_keys()
    asked: Counter[tuple[str, str]] = Counter()
    missing: Counter[tuple[str, str]] = Counter()
    for part in grid.parts:
        name = part.method.record.name
        kind = name, method_label(name, part.method.label.partition(":")[2], part.weights.tag)
        asked[kind] += grid.size(part)
        missing[kind] += sum(key not in complete for key in islice(keys, grid.size(part)))
    timed = stored.group_by("method").aggregate([("seconds", "mean")]).to_pydict()
    seconds = dict(zip(timed["method"], timed["seconds_mean"], strict=True))
    rows = []
    for (name, label), count in asked.items():
        lacking = missing[name, label]
        estimate = seconds[name] * lacking / request.jobs if name in seconds else None
        rows.append((label, count, lacking, estimate if lacking else 0.0))
    return DryRun(request.folder, tuple(rows), grid.notes)


def execute(
    request: Request, registry: Registry, command: Sequence[str], track: Track | None = None, verbose: bool = False
) -> Outcome:
    """Run what is missing of a request. verbose: log steps and tracebacks of failed cells.

    Raises UsageError, UnavailableError and StoreError before or between cells; finished cells are always kept.
    """
    return measure(plan(request, registry), registry, command, track, verbose)


def measure(
    grid: Plan, registry: Registry, command: Sequence[str], track: Track | None = None, verbose: bool = False
) -> Outcome:
    """Run what is missing of a plan; arguments and errors as in execute."""
    request = grid.request
    preflight(grid)
    if request.compile:
        check_compiler()
    # Which devices there are is for the workers to know.
    device = request.device if request.backend == "dask" else usable_device(request.device)
    with Store(request.folder) as store:
        described = store.run.metrics
        _describe(store, grid, command)
        outputs = store.run.outputs if request.keep else None
        cells = tuple(grid.cell_keys())
        pending = _pending(cells, store.complete(_versions(grid)), outputs)
        count = int(pending.sum())
        setup = _setup(grid, registry, device, outputs, verbose)
        log.debug("%d cells, %d to measure, %d torch threads each", len(grid), count, setup.threads)
        done, interrupted = 0, False
        if count:
            store.write_environment(_environment(store, request, setup))
            lines = dispatch(request, setup, registry, batches(grid.chosen(pending)), _files(grid, setup))
            done, interrupted = _measure(store, lines, count, track)
        if grid.set_metrics and not interrupted:
            # Every cell is in the store from here on.
            sets = plan_sets(store, grid.set_metrics, frozenset(cells))
            lines = measure_sets(sets, grid.set_metrics, store.run.outputs)
            _, interrupted = _measure(store, lines, len(sets.pending), track)
            cells += sets.digests
        if not _table_holds(store, described):
            store.write_table()
        failures = _failures(store, frozenset(cells)) if count or grid.set_metrics else ()
        trouble = [f"interrupted: {done} cells kept; the same command goes on from here"] if interrupted else []
        notes = (*store.notes, *grid.notes, *_crowding(request), *trouble)
    return Outcome(request.folder, cells, done, len(grid) - count, failures, notes, interrupted)


def _versions(grid: Plan) -> dict[str, str]:
    """Give the versions of the plan's metrics by label."""
    return {metric.label: metric.record.version for metric in grid.metrics}


def _pending(cells: Sequence[str], complete: Collection[str], outputs: Outputs | None) -> np.ndarray:
    """Tell of each cell in order whether it lacks a value, or its images where these are to be kept; (n,) of bool."""
    import numpy as np

    kept = outputs.cells() if outputs is not None else None
    lacking = (key not in complete or (kept is not None and key not in kept) for key in cells)
    return np.fromiter(lacking, bool, len(cells))


def _failures(store: Store, asked: Collection[str]) -> tuple[Line, ...]:
    """Read the lines of the cells that were asked for and failed."""
    import pyarrow as pa

    cells = store.run.cells()
    failed = cells.filter(pa.array(status_is(cells, ("failed",))))
    return tuple(line for line in lines_of(failed) if line["cell"] in asked)


def _setup(grid: Plan, registry: Registry, device: str, outputs: Outputs | None, verbose: bool) -> Setup:
    request = grid.request
    quiet = any("quiet" in metric.record.needs for metric in grid.metrics)
    beside = request.scores_beside(device) and not quiet
    return Setup(
        plugins=registry.files,
        metrics=_versions(grid),
        device=device,
        threads=max(1, request.threads_each - beside),
        keep=str(outputs.folder) if outputs else "",
        auto_tile=request.tile == "auto",
        share=request.jobs,
        timeout=request.timeout,
        memory_limit=request.memory_bytes,
        traces=verbose,
        beside=beside,
    )


def _files(grid: Plan, setup: Setup) -> dict[str, str]:
    """Hash what workers on other machines must find: plugins, weights, and an image of each data set."""
    if grid.request.backend != "dask":
        return {}
    weights = {path for part in grid.parts for _, path in part.weights.files if path}
    files = {str(Path(path).absolute()): sha256(Path(path)) for path in (*setup.plugins, *weights)}
    images = {picture.dataset: picture for picture in grid.pictures if picture.sha256}
    return files | {str(Path(image.path).absolute()): image.sha256 for image in images.values()}


def _measure(store: Store, measured: Generator[Line, None, None], total: int, track: Track | None) -> tuple[int, bool]:
    """Keep every line; return how many there were, and whether Ctrl-C came between."""
    done = 0
    try:
        with closing(measured):
            for line in track(measured, total) if track else measured:
                trace = line.pop("trace", "")
                store.append(line)
                done += 1
                log.debug("%s x%s %s: %s in %.3f s", *map(line.get, ("method", "scale", "image", "status", "seconds")))
                if trace:
                    log.debug("%s\n%s", line["error"], trace.rstrip())
    except KeyboardInterrupt:
        return done, True
    return done, False


def _table_holds(store: Store, metrics: object) -> bool:
    """Tell whether results.parquet already says all that the journal does: a finished run is left in peace."""
    return store.table_is_current() and metrics == store.run.metrics


def _crowding(request: Request) -> list[str]:
    cores = usable_cores()
    if request.backend == "dask" or request.jobs * request.threads_each <= cores:
        return []
    return [f"-j {request.jobs} with {request.threads_each} threads each is more than the {cores} cores there are"]


def _describe(store: Store, grid: Plan, command: Sequence[str]) -> None:
    """Write run.json; what earlier requests on this folder said of their metrics stays."""
    run = store.run
    chosen = (*grid.metrics, *grid.set_metrics)
    described = {metric.label: about(metric.record, metric.label) for metric in chosen}
    text = shlex.join(command)
    history = run.history if run.history[-1:] == (text,) else (*run.history, text)
    content = {
        "schema": SCHEMA,
        "asked": {**grid.request.asked(), "metrics": ",".join(metric.label for metric in chosen)},
        "history": history,
        "metrics": {**run.metrics, **described},
    }
    store.write_about(content)


def _environment(store: Store, request: Request, setup: Setup) -> Mapping[str, Any]:
    """Describe where the cells that follow are measured; what env.json said of earlier ones stays in it."""
    import torch  # noqa: F401  # its switches are read where it is loaded, and whoever measures loads it

    found = environment.describe()
    # Of each process, set when it begins.
    found["threads"] |= {"torch": setup.threads, "beside": int(setup.beside)}
    found["workers"] = {"backend": request.backend, "processes": request.jobs, "device": setup.device}
    found["plugin_files"] = {path: sha256(Path(path)) for path in setup.plugins}
    return environment.with_earlier(found, store.run.environment)

"""The workers of a Dask scheduler. They find images, weights and plugin files under the same paths as this process.

The scheduler carries cells and lines, a kilobyte each, and no file.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, cast
from uuid import uuid4

from rescale_bench.api.registry import load_registry
from rescale_bench.errors import RescaleBenchError, UnavailableError
from rescale_bench.machine import environment
from rescale_bench.machine.device import usable_device
from rescale_bench.runner.cells import Batch, Cell
from rescale_bench.runner.guard import Guard
from rescale_bench.runner.job import Setup, describe, failed_line
from rescale_bench.runner.worker import Line, Worker
from rescale_bench.weights.stored import sha256

try:
    from distributed import Client, WorkerPlugin, get_worker
    from distributed.scheduler import KilledWorker
except ImportError:
    raise UnavailableError("Dask is not installed: pip install 'rescale-bench[cluster]'", "backend") from None

CONNECT_SECONDS = 15
TASK_SECONDS = 0.5
"""What one task takes on a worker, about: batches of cells that take less go out together."""
TASK_BATCHES = 256
"""At most so many."""
ROOM_SECONDS = 1.0
"""How long the number of workers is taken as known."""
Task = tuple[Batch, ...]
ENDED = "it ended every worker that tried it; with a timeout or a memory limit the cell's own process ends instead"
SAME = ("rescale-bench", "torch", "numpy", "scipy", "scikit-image", "pillow", "imagecodecs", "pyiqa", "lpips")
"""Packages whose versions must be the same on every worker."""


class Cluster:
    """The workers that a scheduler has, and those that come to it later."""

    def __init__(self, scheduler: str, setup: Setup, files: Mapping[str, str]) -> None:
        """Connect, and look at the workers that are there.

        files: SHA-256 by path. Raises UnavailableError where nobody answers, there is no worker, or one lacks a file
        or a package.
        """
        self.setup = setup
        self.seat = Seat(setup, versions(), files)
        try:
            self.client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UnavailableError(f"nothing answers at {scheduler}: {error}", "scheduler") from None
        try:
            self._check_workers(scheduler)
            self.client.register_plugin(self.seat, name=self.seat.name)
        except BaseException:
            self.client.close()
            raise
        self.executor = self.client.get_executor(pure=False)
        self.cost: dict[Any, float] = {}
        self.threads, self.asked = 0, -ROOM_SECONDS

    def _check_workers(self, scheduler: str) -> None:
        try:
            self.client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError:
            raise UnavailableError(f"{scheduler} has no worker; start `dask worker`", "scheduler") from None
        try:
            refusals = self.client.run(self.seat.refusal)
        except ImportError as error:
            raise UnavailableError(f"a worker lacks rescale-bench: {error}; install it there", "scheduler") from None
        for worker, refusal in refusals.items():
            if refusal:
                raise UnavailableError(f"worker {worker} {refusal}", "scheduler")

    @classmethod
    def lines(
        cls, scheduler: str, setup: Setup, files: Mapping[str, str], batches: Iterable[Batch]
    ) -> Generator[Line, None, None]:
        """Run batches on the workers of a scheduler, and yield their lines as they come back."""
        out: dict[Future[list[Line]], Task] = {}
        with closing(cls(scheduler, setup, files)) as cluster:
            for task in cluster.tasks(batches):
                while len(out) >= cluster.room():
                    yield from cluster.arrived(out)
                out[cluster.submit(task)] = task
            while out:
                yield from cluster.arrived(out)

    def tasks(self, batches: Iterable[Batch]) -> Iterator[Task]:
        """Put batches of one build together until they take about TASK_SECONDS, by what the last ones took."""
        task: list[Batch] = []
        for cells in batches:
            build = cells[0].build
            if task and (build != task[0][0].build or len(task) >= self.size(build)):
                yield tuple(task)
                task = []
            task.append(cells)
        if task:
            yield tuple(task)

    def size(self, build: Any) -> float:
        """Say how many batches of a build go out together: one until the first came back."""
        return min(TASK_BATCHES, TASK_SECONDS / self.cost[build]) if self.cost.get(build) else 1

    def arrived(self, out: dict[Future[list[Line]], Task]) -> list[Line]:
        """Wait for the next tasks, take them out, and return their lines; who ended several workers goes out alone."""
        found: list[Line] = []
        for future in wait(out, return_when=FIRST_COMPLETED).done:
            task = out.pop(future)
            if len(task) > 1 and isinstance(future.exception(), KilledWorker):
                out.update((self.submit((cells,)), (cells,)) for cells in task)
                continue
            lines = self.answer(task, future)
            self.cost[task[0][0].build] = sum(line["seconds"] for line in lines) / len(task)
            found += lines
        return found

    def submit(self, task: Task) -> Future[list[Line]]:
        """Queue a task for any worker; Dask gives those of a lost worker to another one."""
        absolute = tuple(tuple(map(_absolute, cells)) for cells in task)
        future: Future[list[Line]] = self.executor.submit(_run, self.seat.name, absolute)
        return future

    def answer(self, task: Task, done: Future[list[Line]]) -> list[Line]:
        """Return what a worker answered; cells that ended several workers are failed."""
        try:
            return done.result()
        except CancelledError:
            raise RescaleBenchError(
                "the Dask scheduler is gone; what was measured is kept: start it again and run the same command"
            ) from None
        except Exception as error:
            text = ENDED if isinstance(error, KilledWorker) else describe(error)
            return [failed_line(self.setup, cell, text) for cells in task for cell in cells]

    def room(self) -> int:
        """Keep three more tasks for each thread of the workers that are there now."""
        if time.monotonic() >= self.asked + ROOM_SECONDS:
            self.threads, self.asked = sum(self.client.nthreads().values()), time.monotonic()
        return 4 * max(1, self.threads)

    def close(self) -> None:
        """Take back what was handed out, and leave."""
        if self.client.status == "running":
            with suppress(OSError, TimeoutError):
                self.client.unregister_worker_plugin(self.seat.name)
        self.client.close()


class Seat(WorkerPlugin):
    """What each Dask worker holds for one run: a Worker, or a child with one, made with its first cells."""

    def __init__(self, about: Setup, packages: Mapping[str, str], files: Mapping[str, str]) -> None:
        """Take what the workers' packages and files must be."""
        self.name = f"rescale-bench-{uuid4().hex}"
        self.about, self.packages, self.files = about, packages, files

    def refusal(self) -> str:
        """Say why the numbers of this process might differ from those of the one that started the run; "" for none."""
        here = versions()
        for name, version in self.packages.items():
            if here[name] != version:
                return f"has {name} {here[name]}, the run was started with {version}; install the same everywhere"
        for path, digest in self.files.items():
            if not Path(path).is_file():
                return f"does not see {path}: images, weights and plugins must be under the same path everywhere"
            if sha256(Path(path)) != digest:
                return f"has another {path} than the process that started the run"
        return ""

    def setup(self, worker: Any) -> None:
        """Begin on a worker; Dask calls this, also for workers that come later."""
        del worker
        # Dask may run a process's tasks in threads; seeds and caches of a worker are for one cell at a time.
        self.lock = Lock()
        self.runner: Worker | Guard | None = None
        self.refused = self.refusal()

    def teardown(self, worker: Any) -> None:
        """End on a worker."""
        del worker
        if isinstance(self.runner, Guard):
            self.runner.close()
        self.runner = None

    def run(self, cells: Batch) -> list[Line]:
        """Run cells on this worker."""
        with self.lock:
            try:
                if self.refused:
                    raise UnavailableError(f"this worker {self.refused}")
                if self.runner is None:
                    setup = replace(self.about, device=usable_device(self.about.device))
                    self.runner = Guard(setup) if setup.limited else Worker(setup, load_registry(setup.plugins))
                return self.runner.run(cells)
            except Exception as error:
                return [failed_line(self.about, cell, describe(error)) for cell in cells]


def _absolute(cell: Cell) -> Cell:
    """Write a cell's paths so that they hold in any folder."""
    files = tuple((part, path and str(Path(path).absolute())) for part, path in cell.files)
    return replace(cell, path=str(Path(cell.path).absolute()), files=files)


def _run(name: str, task: Task) -> list[Line]:
    """Run batches of cells with what the Dask worker that this is called on holds for a run."""
    seat = cast(Seat, get_worker().plugins[name])
    return [line for cells in task for line in seat.run(cells)]


def versions() -> dict[str, str]:
    """Give the versions of the packages that decide numbers, "none" for one that is not installed."""
    packages = environment.packages()
    return {name: packages.get(name, "none") for name in SAME}

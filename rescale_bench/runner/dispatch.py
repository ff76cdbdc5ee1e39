"""Where cells are run: in this process, in children of it, or on the workers of a Dask scheduler."""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from typing import Protocol

from rescale_bench.api.registry import Registry
from rescale_bench.runner.cells import Batch
from rescale_bench.runner.guard import Guard
from rescale_bench.runner.job import Setup
from rescale_bench.runner.request import Request
from rescale_bench.runner.worker import Line, Worker


class Place(Protocol):
    """Processes that take batches of cells."""

    def submit(self, cells: Batch) -> Future[list[Line]]:
        """Hand out a batch."""

    def lines(self, cells: Batch, done: Future[list[Line]]) -> list[Line]:
        """Return the lines of a batch that was handed out. Raises RescaleBenchError where the place is lost."""

    def room(self) -> int:
        """Say how many batches may be handed out at once."""

    def close(self) -> None:
        """Stop everything, at once."""


def dispatch(
    request: Request, setup: Setup, registry: Registry, batches: Iterable[Batch], files: Mapping[str, str]
) -> Generator[Line, None, None]:
    """Run batches of cells and yield their journal lines as they come.

    files: SHA-256 by path of what workers on other machines must find under that path.
    Raises UnavailableError where there is no scheduler or worker, RescaleBenchError where it is lost.
    """
    if request.backend == "dask":
        from rescale_bench.runner.cluster import Cluster

        return _through(partial(Cluster, request.scheduler, setup, files), batches)
    if request.jobs == 1 and not setup.limited:
        return Worker(setup, registry).stream(batches)
    return _through(partial(Children, setup, request.jobs), batches)


def _through(make: Callable[[], Place], batches: Iterable[Batch]) -> Generator[Line, None, None]:
    """Keep a place busy: as many batches are out as it has room for, and lines are yielded as they come back."""
    out: dict[Future[list[Line]], Batch] = {}
    with closing(make()) as place:
        for cells in batches:
            while len(out) >= place.room():
                yield from _arrived(place, out)
            out[place.submit(cells)] = cells
        while out:
            yield from _arrived(place, out)


def _arrived(place: Place, out: dict[Future[list[Line]], Batch]) -> Iterator[Line]:
    for future in wait(out, return_when=FIRST_COMPLETED).done:
        yield from place.lines(out.pop(future), future)


class Children:
    """Child processes of this one, each with a thread that feeds it."""

    def __init__(self, setup: Setup, count: int) -> None:
        """Start the threads; children are started with the first cells."""
        self.guards = [Guard(setup) for _ in range(count)]
        self.idle: queue.SimpleQueue[Guard] = queue.SimpleQueue()
        for guard in self.guards:
            self.idle.put(guard)
        self.threads = ThreadPoolExecutor(count)

    def submit(self, cells: Batch) -> Future[list[Line]]:
        """Queue a batch for the next child that is idle."""
        return self.threads.submit(self._run, cells)

    def _run(self, cells: Batch) -> list[Line]:
        guard = self.idle.get()
        try:
            return guard.run(cells)
        finally:
            self.idle.put(guard)

    def lines(self, cells: Batch, done: Future[list[Line]]) -> list[Line]:
        """Return what a child answered, or what became of it."""
        del cells
        return done.result()

    def room(self) -> int:
        """Keep one more batch for each child."""
        return 2 * len(self.guards)

    def close(self) -> None:
        """Kill the children."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        for guard in self.guards:
            guard.close()
        self.threads.shutdown()

"""Where cells are run: in this process, in children of it, or on the workers of a Dask scheduler."""

from __future__ import annotations

import queue
import warnings
from collections.abc import Generator, Iterable, Mapping

from rescale_bench.api.registry import Registry
from rescale_bench.runner.cells import Batch
from rescale_bench.runner.guard import Guard
from rescale_bench.runner.job import Setup
from rescale_bench.runner.request import Request
from rescale_bench.runner.worker import Line, Worker


def dispatch(
    request: Request, setup: Setup, registry: Registry, batches: Iterable[Batch], files: Mapping[str, str]
) -> Generator[Line, None, None]:
    """Run batches of cells and yield their journal lines as they come.

    files: SHA-256 by path of what workers on other machines must find under that path.
    Raises UnavailableError where there is no scheduler or worker, RescaleBenchError where it is lost.
    """
    if request.backend == "dask":
        from rescale_bench.runner.cluster import Cluster

        return Cluster.lines(request.scheduler, setup, files, batches)
    if request.jobs == 1 and not setup.limited:
        return Worker(setup, registry).stream(batches)
    return _in_children(setup, request.jobs, batches)


def _in_children(setup: Setup, count: int, batches: Iterable[Batch]) -> Generator[Line, None, None]:
    """Run batches in child processes, each fed by a thread of joblib; one more batch waits for each."""
    from joblib import Parallel, delayed

    guards = [Guard(setup) for _ in range(count)]
    idle: queue.SimpleQueue[Guard] = queue.SimpleQueue()
    for guard in guards:
        idle.put(guard)

    def run(cells: Batch) -> list[Line]:
        guard = idle.get()
        try:
            return guard.run(cells)
        finally:
            idle.put(guard)

    parallel = Parallel(
        count, backend="threading", return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
    )
    finished = parallel(delayed(run)(cells) for cells in batches)
    try:
        for lines in finished:
            yield from lines
    finally:
        for guard in guards:
            guard.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's advice where a run is interrupted
            finished.close()

"""Where cells run: in this process, in processes of this machine, or on the workers of a Dask scheduler."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import RescaleBenchError, UnavailableError
from rescale_bench.machine import environment
from rescale_bench.machine.device import usable_device
from rescale_bench.runner.cells import Cell
from rescale_bench.runner.content import ContentServer, fetch_from, local_cell, local_setup, scheduler_address
from rescale_bench.runner.entries import describe, failed_line
from rescale_bench.runner.guard import guard_for, run_cell, run_cells, stream
from rescale_bench.runner.request import Request
from rescale_bench.runner.setup import Setup

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

CONNECT_SECONDS = 15
ENDED = "it ended every worker that tried it; with --timeout or --memory-limit the cell's own process ends instead"
SAME = ("rescale-bench", "torch", "numpy", "scipy", "scikit-image", "pillow", "imagecodecs", "pyiqa", "lpips")
"""Packages whose versions must be the same on every worker."""


Batch = Sequence[Cell]
"""Cells for one process to run at once, where their method takes them; mostly one."""


def lines(request: Request, setup: Setup, batches: Sequence[Batch]) -> Iterator[dict[str, Any]]:
    """Run batches of cells and yield their journal lines as they come.

    Raises UnavailableError where there is no scheduler or worker, RescaleBenchError where workers die.
    """
    if not batches:
        return iter(())
    if request.backend == "dask":
        return _on_cluster(request.scheduler, setup, [cell for cells in batches for cell in cells])
    if request.jobs == 1 or len(batches) < 2:
        return _here(setup, batches)
    return _on_processes(setup, batches, request.jobs)


def _here(setup: Setup, batches: Sequence[Batch]) -> Iterator[dict[str, Any]]:
    try:
        yield from stream(setup, batches)
    finally:
        guard_for.cache_clear()


def _on_processes(setup: Setup, batches: Sequence[Batch], jobs: int) -> Iterator[dict[str, Any]]:
    """Run on processes of this machine; where a cell ends one, what is left runs guarded, so that it fails alone."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    waiting = {cell.cell for cells in batches for cell in cells}
    for each in (setup, replace(setup, guarded=True)):
        try:
            left = [[cell for cell in cells if cell.cell in waiting] for cells in batches]
            for line in _in_parallel(each, [cells for cells in left if cells], jobs):
                waiting.discard(line["cell"])
                yield line
            return
        except TerminatedWorkerError:
            log.debug("a worker process was ended; %d cells go on in guarded ones", len(waiting))
    raise RescaleBenchError(
        "a worker process was killed, perhaps for want of memory; what was measured is kept: "
        "run the same command again with fewer -j, or with --memory-limit to fail such cells alone"
    )


def _in_parallel(setup: Setup, batches: Sequence[Batch], jobs: int) -> Iterator[dict[str, Any]]:
    from joblib import Parallel, delayed

    # One batch a task: what is in flight when a run is killed is one batch a worker.
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    # loky takes a worker's first network for a leak and renews the worker: nothing is lost, nothing is to be done.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    with _deaf_children():
        finished = parallel(delayed(run_cells)(setup, cells) for cells in batches)
    try:
        for found in finished:
            yield from found
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's advice where a run is interrupted
            finished.close()


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: a terminal sends it to all, also to those that are still importing.

    What is blocked stays blocked in a child. This process ends them, and gets a Ctrl-C of the meantime afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    # loky starts it with the first worker, which unblocks SIGINT; a running one is left alone.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_cluster(scheduler: str, setup: Setup, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """Run on a Dask cluster through joblib; Dask itself gives the cells of a lost worker to another one."""
    with _client(scheduler) as client:
        from joblib import Parallel, delayed

        here = _check_workers(client)
        content = ContentServer(client)
        try:
            remote = content.setup(setup)
            tasks = (delayed(run_remote)(content.address, here, remote, content.cell(cell)) for cell in cells)
            backend = _backend(client)
            parallel = Parallel(-1, backend, "generator_unordered", batch_size=1, pre_dispatch="4*n_jobs")
            yield from parallel(tasks)
        finally:
            content.close()


def run_remote(address: str, versions: Mapping[str, str], setup: Setup, cell: Cell) -> dict[str, Any]:
    """Run one cell on a Dask worker, with the files that it names by content.

    versions: those of the packages that must be equal; a worker may have joined after the run began.
    """
    fetch = fetch_from(address)
    try:
        _refuse_others("this worker", versions_here(), versions)
        mine = replace(local_setup(setup, fetch), device=usable_device(setup.device))
        here = local_cell(cell, fetch)
    except Exception as error:
        return failed_line(setup, cell, describe(error), 0.0)
    return run_cell(mine, here)


def _backend(client: Client) -> Any:
    """Make joblib's backend, which by itself waits forever for a task that ended every worker."""
    from distributed.scheduler import KilledWorker
    from joblib._dask import DaskDistributedBackend

    class Backend(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
        def submit(self, func: Any, callback: Any = None) -> Any:
            def broken(done: Any) -> None:
                error = done.exception()
                if error is not None and callback is not None:
                    (_, (*_, setup, cell), _), *_ = func.items
                    text = ENDED if isinstance(error, KilledWorker) else describe(error)
                    callback([failed_line(setup, cell, text, 0.0)])

            future = super().submit(func, callback)
            future.add_done_callback(broken)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, BaseException):  # what Dask gives for a cancelled task
                raise RescaleBenchError(
                    "the Dask scheduler is gone; what was measured is kept: start it again and run the same command"
                )
            return super().retrieve_result_callback(out)

    return Backend(client=client)


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise UnavailableError("--backend dask needs Dask: pip install 'rescale-bench[cluster]'") from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"--scheduler: nothing answers at {scheduler}: {error}") from None
    with client:
        yield client


def _check_workers(client: Client) -> dict[str, str]:
    """Wait for a worker, refuse those whose numbers might differ, return the versions. Raises UnavailableError."""
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise UnavailableError(f"--scheduler: {scheduler_address(client)} has no worker; start `dask worker`") from None
    here = versions_here()
    try:
        found = client.run(versions_here)
    except ImportError as error:
        raise UnavailableError(f"--scheduler: a worker lacks rescale-bench: {error}; install it there") from None
    for worker, there in found.items():
        _refuse_others(f"worker {worker}", there, here)
    return here


def _refuse_others(worker: str, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    for name, version in here.items():
        if there[name] != version:
            raise UnavailableError(
                f"{worker} has {name} {there[name]}, the run was started with {version}; install the same everywhere"
            )


@lru_cache(maxsize=1)
def versions_here() -> dict[str, str]:
    """Give the versions of the packages that decide numbers, "none" for one that is not installed."""
    packages = environment.packages()
    return {name: packages.get(name, "none") for name in SAME}

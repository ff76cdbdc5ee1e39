"""What one process does: run cells one batch after another, and turn every failure into a line."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any

from rescale_bench.api.registry import Registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.machine.allocator import keep_freed_memory
from rescale_bench.machine.precision import exact_float32
from rescale_bench.runner.cells import Batch, Cell
from rescale_bench.runner.job import Job, Setup
from rescale_bench.runner.stages import Images, Trips, score

Line = dict[str, Any]


class Worker:
    """Runs cells in one process, and keeps what the next ones may need: images, and methods that were built."""

    def __init__(self, setup: Setup, registry: Registry) -> None:
        """Settle the process, and find the metrics. Raises UsageError."""
        settle_process(setup)
        self.setup, self.registry = setup, registry
        self.metrics = [registry.choose_metric(parse_spec(text, "metrics")) for text in setup.metrics]
        self.images, self.trips = Images(), Trips(setup, self.metrics)

    def run(self, cells: Sequence[Cell]) -> list[Line]:
        """Measure cells and return their lines; those of one size may go through the halves together.

        Nothing short of a kill escapes as an exception.
        """
        jobs = self._prepare(cells)
        self._halves(jobs)
        return self._score(jobs)

    def stream(self, batches: Iterable[Batch]) -> Generator[Line, None, None]:
        """Measure one batch of cells after another, as run, and yield their lines.

        With Setup.beside one more thread decodes the next images, makes their reference LR, and scores the last ones.
        """
        if not self.setup.beside:
            for cells in batches:
                yield from self.run(cells)
            return
        import torch

        with ThreadPoolExecutor(1, "scores", _one_thread) as side:
            # What a thread sets holds for itself, and for those that begin later.
            side.submit(int).result()
            torch.set_num_threads(self.setup.threads)
            coming: Future[list[Job]] | None = None
            scored: Future[list[Line]] | None = None
            for cells in chain(batches, [()]):
                following = side.submit(self._prepare, cells)
                if coming is not None:
                    jobs = coming.result()
                    self._halves(jobs)
                    if scored is not None:
                        yield from scored.result()
                    scored = side.submit(self._score, jobs)
                coming = following
            if scored is not None:
                yield from scored.result()

    def _prepare(self, cells: Sequence[Cell]) -> list[Job]:
        jobs = [Job(cell, self.registry) for cell in cells]
        for job in jobs:
            with job.stage():
                self.images.prepare(job)
        return jobs

    def _halves(self, jobs: Sequence[Job]) -> None:
        self.trips.run([job for job in jobs if not job.error])

    def _score(self, jobs: Sequence[Job]) -> list[Line]:
        return [score(job, self.metrics, self.setup) for job in jobs]


def settle_process(setup: Setup) -> None:
    """Fix the number of threads, and what trades float32's accuracy for speed, for this process."""
    import torch

    torch.set_num_threads(setup.threads)
    exact_float32()
    keep_freed_memory()


def _one_thread() -> None:
    """Give the calling thread one torch thread."""
    import torch

    torch.get_num_threads()  # a thread's first question to torch sets the common number
    torch.set_num_threads(1)

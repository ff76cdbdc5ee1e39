"""A process of its own for cells that may hang or eat memory: it is killed, its cell fails, the run goes on.

The process speaks pickle over its standard streams, so that it can be started from anywhere (Dask's workers may
not start children through multiprocessing).
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import IO, Any

from rescale_bench.machine.memory import resident_bytes
from rescale_bench.runner.cells import Cell
from rescale_bench.runner.entries import describe, failed_line
from rescale_bench.runner.setup import Setup
from rescale_bench.runner.worker import Worker, worker_for

START_SECONDS = 120
"""Time to import and to load plugins, which is not the first cell's."""

INTERVAL = 0.05
"""Seconds between two looks at clock and memory."""

GONE = object()
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ONE_AT_A_TIME = threading.Lock()
"""Dask may run a process's tasks in threads; seeds and caches of a worker are for one cell at a time."""


def run_cells(setup: Setup, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Run cells in this process, those of one size at once where their method takes them, or each alone."""
    if len(cells) == 1 or _limited(setup):
        return [run_cell(setup, cell) for cell in cells]
    with ONE_AT_A_TIME:
        return worker_for(setup).run_all(cells)


def run_cell(setup: Setup, cell: Cell) -> dict[str, Any]:
    """Run one cell in this process, or in a guarded one where it is limited."""
    with ONE_AT_A_TIME:
        if _limited(setup):
            return guard_for(setup).run(cell)
        return worker_for(setup).run(cell)


def _limited(setup: Setup) -> bool:
    return bool(setup.timeout or setup.memory_limit or setup.guarded)


def stream(setup: Setup, batches: Sequence[Sequence[Cell]]) -> Iterator[dict[str, Any]]:
    """Run batches of cells one after another in this process, or in a guarded one where cells are limited."""
    if _limited(setup):
        for cells in batches:
            yield from run_cells(setup, cells)
        return
    yield from worker_for(setup).stream(batches)


@lru_cache(maxsize=1)
def guard_for(setup: Setup) -> Guard:
    """Make the guard of this process, or return the one made before for the same setup."""
    return Guard(setup)


class Guard:
    """Runs cells in a child, which is started when needed and again after it had to be killed."""

    def __init__(self, setup: Setup) -> None:
        """Remember the setup; nothing is started yet."""
        self.setup = setup
        self.child: _Child | None = None

    def run(self, cell: Cell) -> dict[str, Any]:
        """Run one cell; a child that hangs, grows or dies makes it a failed line."""
        started = time.perf_counter()
        try:
            if self.child is None:
                self.child = _Child(self.setup)
                self._answer(START_SECONDS, "its process did not start")
            self.child.send(cell)
            line: dict[str, Any] = self._answer(self.setup.timeout, f"timed out after {self.setup.timeout} s")
            return line
        except _StoppedError as error:
            self.stop()
            return failed_line(self.setup, cell, str(error), time.perf_counter() - started)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill the child, if there is one."""
        if self.child is not None:
            self.child.kill()
            self.child = None

    def _answer(self, seconds: int, late: str) -> Any:
        """Wait for the child. Raises _StoppedError where it takes too long or too much, or dies."""
        child = self.child
        if child is None:
            raise _StoppedError("its process is gone")
        end = time.monotonic() + seconds if seconds else None
        while True:
            try:
                answer = child.answers.get(timeout=INTERVAL)
            except queue.Empty:
                if end is not None and time.monotonic() > end:
                    raise _StoppedError(f"{late}; raise --timeout") from None
                self._check_memory(child)
                continue
            if answer is GONE:
                raise _StoppedError(child.last_words())
            return answer

    def _check_memory(self, child: _Child) -> None:
        limit = self.setup.memory_limit
        used = resident_bytes(child.process.pid) if limit else None
        if used is not None and used > limit:
            raise _StoppedError(
                f"its process held more than {limit / 1e9:.3g} GB; raise --memory-limit, or try --tile auto"
            )


class _StoppedError(Exception):
    """A child that gives no answer; the text says why."""


class _Child:
    """The process and a thread that takes in its answers."""

    def __init__(self, setup: Setup) -> None:
        threads = dict.fromkeys(THREADS, str(setup.threads))
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        self.process = subprocess.Popen(
            # -P: a file called torch.py in the working folder is nobody's torch.
            [sys.executable, "-P", "-c", "from rescale_bench.runner.guard import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": path},
            process_group=0,  # Ctrl-C is the parent's to handle, also while the child is still importing
        )
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.kill = weakref.finalize(self, _kill, self.process)
        output = self.process.stdout
        self.thread = threading.Thread(target=_take_in, args=(output, self.answers), daemon=True)
        self.thread.start()
        self.send(setup)

    def send(self, item: Any) -> None:
        """Send the setup or a cell. Raises _StoppedError where the child is gone."""
        stream = self.process.stdin
        try:
            if stream is not None:
                pickle.dump(item, stream)
                stream.flush()
        except OSError:
            raise _StoppedError(self.last_words()) from None

    def last_words(self) -> str:
        """Say how the child ended."""
        code = self.process.wait()
        if code >= 0:
            return f"its process ended with exit code {code}"
        name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
        hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return f"its process was ended by {name}{hint}"


def _take_in(stream: IO[bytes], answers: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            answers.put(pickle.load(stream))
    except Exception:  # whatever is left of a killed child's last answer
        answers.put(GONE)


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # a cell that the child never took
                continue


# --- in the child ---------------------------------------------------------------


def serve() -> None:
    """Answer cells with lines until the parent is gone; what plugins print goes to stderr."""
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        setup: Setup = pickle.load(requests)
        cells: queue.SimpleQueue[Cell] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(requests, cells), daemon=True).start()
        worker = Worker(setup)
        _reply(replies, "ready")
        while True:
            cell = cells.get()
            try:
                line = worker.run(cell)
            except BaseException as error:  # a plugin may call sys.exit
                line = failed_line(setup, cell, describe(RuntimeError(f"{type(error).__name__}: {error}")), 0.0)
            _reply(replies, line)


def _listen(requests: IO[bytes], cells: queue.SimpleQueue[Cell]) -> None:
    try:
        while True:
            cells.put(pickle.load(requests))
    except Exception:
        # The parent is gone, in whatever way: a cell that hangs must not outlive it.
        os._exit(0)


def _reply(replies: IO[bytes], answer: Any) -> None:
    pickle.dump(answer, replies)
    replies.flush()

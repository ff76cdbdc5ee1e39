"""A child process that runs cells: it can be killed when one hangs, grows or crashes; that cell fails, the run goes on.

It speaks pickle over its standard streams, so that it can be started from anywhere (Dask's workers may not start
children through multiprocessing).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rescale_bench.api.registry import load_registry
from rescale_bench.machine.memory import resident_bytes
from rescale_bench.runner.cells import Batch
from rescale_bench.runner.job import Setup, describe, failed_line
from rescale_bench.runner.worker import Line, Worker

START_SECONDS = 120
"""Time to import and to load plugins, which is not the first cell's."""

INTERVAL = 0.05
"""Seconds between two looks at clock and memory."""

GONE = object()
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Guard:
    """Runs cells in a child, which is started when needed and again after it had to be killed."""

    def __init__(self, setup: Setup) -> None:
        """Remember the setup; nothing is started yet."""
        self.setup = setup
        self.child: _Child | None = None
        self.closed = False

    def run(self, cells: Batch) -> list[Line]:
        """Run cells, one by one where they are limited; where a child hangs, grows or dies, the last one is failed."""
        if len(cells) > 1 and self.setup.limited:
            return self._alone(cells)
        started = time.perf_counter()
        try:
            child = self._started()
            child.send(cells)
            lines: list[Line] = self._answer(child, self.setup.timeout, f"timed out after {self.setup.timeout} s")
            return lines
        except _StoppedError as error:
            self._stop()
            if len(cells) > 1 and not self.closed:
                return self._alone(cells)
            return [failed_line(self.setup, cell, str(error), time.perf_counter() - started) for cell in cells]
        except BaseException:
            self._stop()
            raise

    def close(self) -> None:
        """Kill the child, also one that another thread is about to start."""
        self.closed = True
        self._stop()

    def _alone(self, cells: Batch) -> list[Line]:
        return [line for cell in cells for line in self.run((cell,))]

    def _started(self) -> _Child:
        if self.child is None:
            self.child = _Child(self.setup)
            self._answer(self.child, START_SECONDS if self.setup.timeout else 0, "its process did not start")
        if self.closed:
            raise _StoppedError("the run was stopped")
        return self.child

    def _stop(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child = None

    def _answer(self, child: _Child, seconds: int, late: str) -> Any:
        """Wait for a child. Raises _StoppedError where it takes too long or too much, or dies."""
        end = time.monotonic() + seconds if seconds else None
        while True:
            try:
                answer = child.answers.get(timeout=INTERVAL)
            except queue.Empty:
                if end is not None and time.monotonic() > end:
                    raise _StoppedError(f"{late}; allow it more") from None
                if self.closed:
                    raise _StoppedError("the run was stopped") from None
                self._check_memory(child)
                continue
            if answer is GONE:
                raise _StoppedError(child.last_words())
            return answer

    def _check_memory(self, child: _Child) -> None:
        limit = self.setup.memory_limit
        used = resident_bytes(child.process.pid) if limit else None
        if used is not None and used > limit:
            raise _StoppedError(f"its process held more than {limit / 1e9:.3g} GB; allow it more, or try tile=auto")


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
        threading.Thread(target=_take_in, args=(self.process.stdout, self.answers), daemon=True).start()
        self.send(setup)

    def send(self, item: Any) -> None:
        """Send the setup or cells. Raises _StoppedError where the child is gone."""
        stream = self.process.stdin
        try:
            if stream is not None:
                pickle.dump(item, stream)
                stream.flush()
        except (OSError, ValueError):  # ValueError: closed by a kill from another thread
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


def _descendants(pid: int) -> Iterator[int]:
    """List the processes below one, programs of methods among them; only Linux tells."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from _descendants(child)


def _kill(process: subprocess.Popen[bytes]) -> None:
    started = list(_descendants(process.pid))  # listed first: nobody tells whose they were once it is gone
    process.kill()
    for pid in started:
        with contextlib.suppress(OSError):  # it has ended
            os.kill(pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # a cell that the child never took
                continue


# --- in the child ---------------------------------------------------------------


def serve() -> None:
    """Answer batches of cells with lists of lines until the parent is gone; what plugins print goes to stderr."""
    requests = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as replies:
        os.dup2(2, 1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        setup: Setup = pickle.load(requests)
        batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(requests, batches), daemon=True).start()
        worker = Worker(setup, load_registry(setup.plugins))
        _reply(replies, "ready")
        while True:
            cells = batches.get()
            try:
                lines = worker.run(cells)
            except BaseException as error:  # a plugin may raise anything
                lines = [failed_line(setup, cell, describe(error)) for cell in cells]
            _reply(replies, lines)


def _listen(requests: IO[bytes], batches: queue.SimpleQueue[Batch]) -> None:
    try:
        while True:
            batches.put(pickle.load(requests))
    except Exception:
        # The parent is gone, in whatever way: a cell that hangs must not outlive it.
        os._exit(0)


def _reply(replies: IO[bytes], answer: Any) -> None:
    pickle.dump(answer, replies)
    replies.flush()

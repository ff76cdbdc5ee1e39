"""How a training shows itself on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

QUIET_INTERVAL = 15.0
"""Seconds between two lines where stderr is no terminal."""


class Display:
    """Shows position, throughput, loss and the last scores; a context manager."""

    def __init__(self, title: str, total: int, quiet: bool) -> None:
        """Take a title and the last position."""
        self.title, self.total, self.quiet = title, total, quiet
        self.bar: Any = None
        self.task: Any = None
        self.scores = ""
        self.shown = time.monotonic()
        self.started: tuple[float, int] | None = None

    def __enter__(self) -> Display:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, position: int, batch: int, loss: float) -> None:
        """Show where the training is after a step of `batch` crops."""
        now = time.monotonic()
        if self.started is None:
            self.started = (now, step)
            return
        rate = (step - self.started[1]) / max(now - self.started[0], 1e-9)
        text = f"step {step}, {rate:.2f} steps/s, {rate * batch:.0f} crops/s, loss {loss:.4g}{self.scores}"
        if self.bar is not None:
            self.bar.update(self.task, completed=position, description=f"{self.title}: {text}")
        elif not self.quiet and now - self.shown >= QUIET_INTERVAL:
            print(f"{self.title}: {100 * position / self.total:.0f} %, {text}", file=sys.stderr)
            self.shown = now

    def score(self, scores: Mapping[str, float]) -> None:
        """Show new validation scores from now on."""
        found = [f"{name} {value:.2f} dB" for name, value in scores.items() if name.startswith("psnr_y")]
        self.scores = ", " + ", ".join(found) if found else self.scores

    def say(self, text: str) -> None:
        """Print a remark beside the bar."""
        if self.quiet:
            return
        if self.bar is not None:
            self.bar.console.print(text)
        else:
            print(text, file=sys.stderr)

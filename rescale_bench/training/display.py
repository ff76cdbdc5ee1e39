"""How a training shows itself: a bar or lines on stderr, its log as a CSV file, its curves as a picture."""

from __future__ import annotations

import csv
import io
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rescale_bench.training.checkpoint import write_file

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


Rows = Sequence[Mapping[str, float]]
FIRST = ("step", "position", "seconds", "images", "rate", "loss")


def columns(rows: Rows) -> list[str]:
    """List the columns: the fixed ones, loss terms, then scores, in the order of their appearance."""
    seen = dict.fromkeys(key for row in rows for key in row)
    return [*FIRST, *(key for key in seen if key not in FIRST)]


def write_csv(path: Path, rows: Rows) -> None:
    """Write the log; a cell without a value stays empty. Raises StoreError."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_file(path, text.getvalue().encode())


def draw(path: Path, rows: Rows, title: str) -> str:
    """Plot loss terms, scores and learning rate over the steps to a PNG; return what prevented it, or "".

    Losses are drawn on a logarithmic axis; values that are 0 or below are left out of it. Raises StoreError.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return f"{path.name} was not drawn: matplotlib is not installed (the numbers are in the CSV file)"
    figure = Figure(figsize=(7, 8), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)  # matplotlib leaves its canvas untyped
    losses, scores, rate = figure.subplots(3, 1, sharex=True)
    names = [name for name in columns(rows) if name not in FIRST]
    for name in names:
        axis = scores if name.startswith("psnr") else losses
        _line(axis, rows, name, positive=axis is losses)
    _line(rate, rows, "rate", positive=False)
    losses.set(title=title, ylabel="loss terms", yscale="log")
    scores.set(ylabel="validation PSNR, dB")
    rate.set(ylabel="learning rate", xlabel="step")
    for axis in (losses, scores):
        if axis.lines:
            axis.legend(fontsize="small")
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    write_file(path, buffer.getvalue())
    return ""


def _line(axis: Any, rows: Rows, name: str, positive: bool) -> None:
    points = [(row["step"], row[name]) for row in rows if name in row]
    points = [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or not positive)]
    if points:
        axis.plot(*zip(*points, strict=True), label=name, marker="." if len(points) < 30 else None)

"""The log of a training as a CSV file and as a picture of its curves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rescale_bench.training.checkpoint import write_file

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

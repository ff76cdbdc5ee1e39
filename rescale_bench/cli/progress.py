"""Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

QUIET_INTERVAL = 15.0
"""Seconds between two lines where stderr is no terminal."""


def tracked(lines: Iterable[dict[str, Any]], total: int, unit: str = "cells") -> Iterator[dict[str, Any]]:
    """Pass finished cells on while showing how far the run is."""
    if sys.stderr.isatty():
        yield from _bar(lines, total, unit)
    else:
        yield from _plain(lines, total, unit)


def _bar(lines: Iterable[dict[str, Any]], total: int, unit: str) -> Iterator[dict[str, Any]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:.1f} {unit}/s")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(unit, total=total)
        for line in lines:
            yield line
            progress.update(task, advance=1, description=f"{line['method']} ×{line['scale']} {line['image']}"[:40])


def _plain(lines: Iterable[dict[str, Any]], total: int, unit: str) -> Iterator[dict[str, Any]]:
    started = shown = time.monotonic()
    for done, line in enumerate(lines, start=1):
        yield line
        now = time.monotonic()
        if now - shown >= QUIET_INTERVAL and done < total:
            rate = done / (now - started)
            left = (total - done) / rate
            print(f"{done}/{total} {unit}, {rate:.1f} {unit}/s, about {left:.0f} s left", file=sys.stderr)
            shown = now

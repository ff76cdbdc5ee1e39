"""Progress on stderr: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

NOTEBOOK_INTERVAL = 0.2
"""Seconds between two changes of a notebook's bar."""
QUIET_INTERVAL = 15.0
"""Seconds between two lines where stderr is no terminal."""


def tracked(lines: Iterable[dict[str, Any]], total: int, unit: str = "cells") -> Iterator[dict[str, Any]]:
    """Pass finished cells on while showing how far the run is."""
    if display := _notebook():
        yield from _shown(lines, total, unit, display)
    elif sys.stderr.isatty():
        yield from _bar(lines, total, unit)
    else:
        yield from _plain(lines, total, unit)


def _notebook() -> Any:
    """Find what shows HTML in the notebook that this process runs; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython import display

    return display


def _shown(lines: Iterable[dict[str, Any]], total: int, unit: str, display: Any) -> Iterator[dict[str, Any]]:
    """Show a bar of the browser's own, which needs no widgets; it goes when the last cell is measured."""
    handle = display.display(display.HTML(_html(0, total, unit)), display_id=True)
    shown = time.monotonic()
    for done, line in enumerate(lines, start=1):
        yield line
        if time.monotonic() - shown >= NOTEBOOK_INTERVAL:
            handle.update(display.HTML(_html(done, total, unit)))
            shown = time.monotonic()
    handle.update(display.HTML(""))


def _html(done: int, total: int, unit: str) -> str:
    return f'<progress value="{done}" max="{total}"></progress> {done} of {total} {unit}'


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

"""`run`: measure a grid and print its leaderboard."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, command_line, registry, say
from rescale_bench.cli.config import make_request
from rescale_bench.cli.screen import OTHER, screen, show
from rescale_bench.machine.device import crowding
from rescale_bench.machine.printable import plural
from rescale_bench.runner.progress import tracked

WAITING = "OMP_WAIT_POLICY"
"""How torch's threads wait for each other; libgomp reads it when it is loaded."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("run", help="measure methods over data sets and scales, and print the leaderboard")
    parser.add_argument("-m", "--methods", help="methods with options: irn:z=zero,weights=published,bicubic+lanczos3")
    parser.add_argument("-d", "--datasets", help="names, NAME@mod12, or folders of images (default: photos)")
    parser.add_argument("-s", "--scales", help="2,3,4 or 1.1:4.0 (step 0.1) or 1.5:2.5:0.25 (default: 2,3,4)")
    parser.add_argument("--protocol", help="how to measure (default: rgb8; see `list protocols`)")
    parser.add_argument(
        "--metrics", help="names (see `list metrics`) or groups: all, quality, perceptual, bitrate, cost (default: few)"
    )

    parser.add_argument(
        "--codecs", help="files in the loop: png,jpeg:90,webp:80 (default: each method's own, mostly png)"
    )
    parser.add_argument(
        "--damage", help="what happens to the LR between the halves: none,noise:1,jpeg:90:444+ycc (default: none)"
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML with the same keys; flags win over it")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where results go (default: runs/PROTOCOL)")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="torch threads of each process (default: cores / jobs)"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 or auto (default: cpu)")
    parser.add_argument("--dtype", help="float32, or bf16 for bfloat16 inside networks (default: float32)")
    parser.add_argument("--tile", metavar="N", help="auto: tiles where memory is short; N: LR pixels (default: off)")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images of one size through a network at once (default: 1)"
    )
    parser.add_argument("--compile", action="store_true", default=None, help="torch.compile around networks")
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help="kill and fail a cell that takes longer")
    parser.add_argument("--memory-limit", metavar="SIZE", help="kill and fail a cell whose process holds more (4GB)")
    parser.add_argument("--backend", help="local: this machine; dask: the workers of --scheduler (default: local)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask scheduler, tcp://HOST:8786")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images of each data set")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of all random draws (default: 0)")
    parser.add_argument("--reference", metavar="METHOD", help="method that differences are taken to (default: bicubic)")
    parser.add_argument("--keep", action="store_true", default=None, help="store the images in FOLDER/outputs")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and stop")
    parser.add_argument("--json", action="store_true", help="print the tidy rows as JSON instead of a table")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    parser.add_argument("-v", "--verbose", action="store_true", help="each step, and tracebacks of failed cells")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Run what is missing and print the table of what was asked for."""
    from rescale_bench.runner.execute import execute

    request = make_request(vars(known), known.config)
    known.plugins = request.plugins
    plugins = registry(known)
    if known.dry_run:
        return _dry_run(request, plugins)
    # Threads that wait for others spin, and so take the core from the one that they wait for.
    here = request.backend != "dask" and not request.device.startswith("cuda") and WAITING not in os.environ
    if here and not known.quiet and (busy := crowding(request.jobs * request.threads_each)):
        say(f"note: {busy}; with {WAITING}=passive set, this run can take a third less time")
    # A bar and log lines would write over each other.
    track = None if known.quiet or known.verbose else tracked
    with _steps_on_stderr(known.verbose):
        outcome = execute(request, plugins, command_line(given), track, known.verbose)
    return tell(outcome, request.reference, known)


def tell(outcome: Any, reference: str, known: argparse.Namespace) -> int:
    """Print what came of a run, and return its exit code."""
    if not known.quiet:
        _remarks(outcome)
    elif outcome.interrupted:
        say(f"rescale-bench: {outcome.notes[-1]}")
    _print(outcome, reference, known.json)
    _print_failures(outcome)
    return int(outcome.exit_code)


@contextmanager
def _steps_on_stderr(shown: bool) -> Iterator[None]:
    """Show what is logged, where that is wanted, and no longer than the run lasts."""
    if not shown:
        yield
        return
    logger, handler = logging.getLogger("rescale_bench"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _print(outcome: Any, reference: str, as_json: bool) -> None:
    from rescale_bench.runs.folder import Run
    from rescale_bench.runs.schema import NAMES, SHOWN
    from rescale_bench.runs.table import plain_texts
    from rescale_bench.tables import leaderboard, render

    table = Run(outcome.folder).rows(NAMES if as_json else SHOWN)
    asked = table["cell"].isin(outcome.cells)
    table = table if asked.all() else table[asked]
    if table.empty:
        return
    if as_json:
        show(plain_texts(table).to_json(orient="records", indent=1), "json")
        return
    show(render(leaderboard(table, reference=reference), screen=screen(hint=OTHER)))


def _remarks(outcome: Any) -> None:
    for note in outcome.notes:
        say(f"note: {note}")
    cached = f", {outcome.cached} taken from the store" if outcome.cached else ""
    say(f"{plural(outcome.measured, 'cell')} measured{cached}; results in {outcome.folder}")


def _print_failures(outcome: Any) -> None:
    """Say once for each reason which cells failed."""
    if not outcome.failures:
        return
    reasons = Counter(line["error"] for line in outcome.failures)
    say(f"{plural(len(outcome.failures), 'cell')} failed (kept as rows; run the same command to try them again):")
    for reason, count in reasons.most_common():
        example = next(line for line in outcome.failures if line["error"] == reason)
        where = f"{example['method']} ×{example['scale']} on {example['dataset']}/{example['image'] or 'all images'}"
        say(f"  {count} × {reason} (first: {where})")


def _dry_run(request: Any, plugins: Any) -> int:
    from tabulate import tabulate

    from rescale_bench.runner.execute import dry_run

    would = dry_run(request, plugins)
    for note in would.notes:
        say(f"note: {note}")
    rows: list[tuple[str, int, int, int, str]] = [
        (name, asked, asked - missing, missing, "unknown" if seconds is None else f"{seconds:.0f} s")
        for name, asked, missing, seconds in would.rows
    ]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows), sum(row[3] for row in rows), ""))
    show(tabulate(rows, headers=("method", "cells", "stored", "missing", "estimate")))
    show(f"would write to {json.dumps(str(would.folder))[1:-1]}")
    return 0

"""`table`: print a stored run as a leaderboard."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rescale_bench.cli.common import add_input, read_run

FORMATS = ("plain", "markdown", "latex", "html", "csv", "json")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("table", help="print a stored run as a leaderboard")
    add_input(parser)
    add_view(parser)
    parser.add_argument("--format", choices=FORMATS, default="plain", help="(default: plain)")
    parser.set_defaults(call=call)


def add_view(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a leaderboard shows."""
    parser.add_argument("--metrics", help="only these, in this order")
    parser.add_argument("--reference", default="bicubic", help="method that differences are taken to (default: bicubic)")


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the table on stdout."""
    del given
    from rescale_bench.tables import leaderboard, render

    _, frame = read_run(known.input)
    metrics = [name.strip() for name in known.metrics.split(",")] if known.metrics else None
    print(render(leaderboard(frame, reference=known.reference, metrics=metrics), known.format))
    return 0

"""`merge`: make one run of several."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import command_line, say


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("merge", help="write a new run with the cells of several; the sources stay as they are")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, two or more")
    parser.add_argument("-o", "--output", required=True, metavar="RUN_C", help="new run folder")
    parser.add_argument(
        "--prefer", choices=("first", "last"), default="",
        help="whose number counts where two runs differ on a cell (default: refuse, naming the cell)",
    )  # fmt: skip
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Merge and say how many cells came from where."""
    from rescale_bench.runs.merge import merge_runs

    folders = [Path(text) for text in known.runs]
    merged = merge_runs(folders, Path(known.output), shlex.join(command_line(given)), known.prefer)
    parts = ", ".join(f"{name}: {count}" for name, count in merged.sources)
    shared = f"; {merged.shared} held more than once" if merged.shared else ""
    say(f"wrote {merged.folder}: {merged.cells} cells ({parts}{shared})")
    return 0

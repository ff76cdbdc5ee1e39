"""`published`: set a run beside the numbers of the papers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, read_run


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("published", help="compare a run with the tables of the papers")
    add_input(parser)
    parser.add_argument("--tables", metavar="FOLDER", help="folder of transcribed tables (default: those that ship)")
    parser.add_argument("--all", action="store_true", help="also rows without a measured twin")
    parser.add_argument("--format", choices=("plain", "markdown", "csv", "json"), default="plain")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print published, measured, difference; exit 4 when the papers have nothing on this run."""
    del given
    from rescale_bench import checks

    _, frame = read_run(known.input)
    tables = checks.read_published(Path(known.tables) if known.tables else checks.shipped_tables())
    rows = checks.compare(frame, tables, all=known.all)
    print(checks.render_published(rows, known.format))
    return 0 if any(row.measured is not None for row in rows) else 4

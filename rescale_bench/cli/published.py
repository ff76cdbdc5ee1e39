"""`published`: set a run beside the numbers of the papers, and say what explains the differences."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, naming, read_input, read_run, registry
from rescale_bench.cli.screen import add_wide, screen, show


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("published", help="compare a run with the tables of the papers, and explain differences")
    add_input(parser)
    tables = parser.add_mutually_exclusive_group()
    tables.add_argument("--table", metavar="FILE", help="one paper's table (.csv, columns as in results/published)")
    tables.add_argument("--tables", metavar="FOLDER", help="folder of transcribed tables (default: those that ship)")
    parser.add_argument(
        "--coverage", nargs="*", metavar="RUN",
        help="count instead what can be run here, and what these runs measured and reproduced, table by table",
    )  # fmt: skip
    parser.add_argument("--all", action="store_true", help="also rows without a measured twin")
    parser.add_argument(
        "--tolerance", default="", metavar="LIST", help="psnr_y=0.01,… (default: half the last digit printed)"
    )
    parser.add_argument(
        "--no-explain",
        dest="explain",
        action="store_false",
        help="do not score the outputs of `run --keep` again under other protocols where numbers differ",
    )
    add_wide(parser)
    parser.add_argument("--format", choices=("plain", "markdown", "csv", "json"), default="plain")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print published, measured, difference; exit 4 when the papers have nothing on this run."""
    del given
    from rescale_bench import checks

    tolerances = checks.parse_tolerances(known.tolerance) if known.tolerance else {}
    plugins = registry(known)
    place = Path(known.table or known.tables) if known.table or known.tables else checks.shipped_tables()
    with naming("table" if known.table else "tables"):
        published = checks.read_published(place)
    if known.coverage is not None:
        return _coverage(known, published, tolerances)
    path, frame = read_input(known)
    rows = checks.compare(frame, published, plugins, all=known.all)
    why = None
    if known.explain:
        why = checks.explain(rows, checks.read_pictures(path, frame), plugins.choose_protocol, tolerances)
    show(checks.render_published(rows, known.format, why, screen(known.wide)), known.format, known.wide)
    return 0 if any(row.measured is not None for row in rows) else 4


def _coverage(known: argparse.Namespace, published: Sequence[Any], tolerances: Any) -> int:
    from rescale_bench import checks

    given = [*known.coverage, *([known.input] if known.input else [])]
    frames = [read_run(text)[1] for text in given]
    frame = None
    if frames:
        import pandas as pd

        frame = pd.concat(frames, ignore_index=True)
    covered = checks.cover(published, registry(known), frame, tolerances)
    text = checks.render_coverage(covered, bool(frames), known.format, screen(known.wide))
    show(text, known.format, known.wide, hang=4)
    return 0

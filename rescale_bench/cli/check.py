"""`check`: fail when a number dropped."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, read_input, write_text
from rescale_bench.cli.screen import add_wide, screen, show


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("check", help="compare a run with a stored one, cell by cell; exit 3 on regression")
    add_input(parser)
    parser.add_argument(
        "--baseline",
        required=True,
        metavar="RUN",
        help="run folder or tidy file; measure all its images",
    )
    parser.add_argument("--tolerance", default="", metavar="LIST", help="psnr_y=0.01,ssim_y=0.0001 (else per metric)")
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="how many of the worst cells to print")
    add_wide(parser)
    parser.add_argument("--junit", metavar="FILE", help="write JUnit XML")
    parser.add_argument(
        "--github", action="store_true", default=None, help="print annotations (default inside Actions)"
    )
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Compare and print the worst cells."""
    del given
    from rescale_bench import checks
    from rescale_bench.runs.folder import read_table

    tolerances = checks.parse_tolerances(known.tolerance) if known.tolerance else {}
    _, current = read_input(known)
    result = checks.check(current, read_table(Path(known.baseline)), tolerances)
    show(checks.report(result, known.worst, screen(known.wide)), wide=known.wide)
    if known.junit:
        write_text(Path(known.junit), checks.junit(result), "junit")
    if known.github or (known.github is None and os.environ.get("GITHUB_ACTIONS") == "true"):
        # Annotations are commands to the runner, which reads them from stdout.
        print(checks.github_annotations(result))
    return result.exit_status

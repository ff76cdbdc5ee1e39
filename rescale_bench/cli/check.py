"""`check`: fail when a number dropped."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, read_input, registry, say, write_file
from rescale_bench.cli.screen import add_wide, screen, show


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("check", help="compare a run with a stored one, cell by cell; exit 3 on regression")
    add_input(parser)
    parser.add_argument(
        "--baseline",
        required=True,
        metavar="RUN",
        help="run folder, tidy file or submission; measure all its images",
    )
    parser.add_argument("--sample", type=int, default=0, metavar="N",
                        help="measure N cells of the baseline anew, instead of reading a run")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice of --sample (default: 0)")
    parser.add_argument("-o", "--output", default="runs/sample", metavar="FOLDER",
                        help="of --sample: a new run folder (default: runs/sample)")  # fmt: skip
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
    baseline = read_table(Path(known.baseline))
    if known.sample:
        current, baseline = _sample(known, baseline)
    else:
        _, current = read_input(known)
    result = checks.check(current, baseline, tolerances)
    show(checks.report(result, known.worst, screen(known.wide)), wide=known.wide)
    if known.junit:
        write_file(Path(known.junit), checks.junit(result), "junit")
    if known.github or (known.github is None and os.environ.get("GITHUB_ACTIONS") == "true"):
        # Annotations are commands to the runner, which reads them from stdout.
        print(checks.github_annotations(result))
    if known.sample and result.of("better"):
        # Numbers that come out better are not those that were submitted either.
        say("what was measured anew is better than the rows say; they are not of this code, data and weights")
        return 3
    return result.exit_status


def _sample(known: argparse.Namespace, baseline: Any) -> tuple[Any, Any]:
    """Measure cells of the baseline anew; give the run, and the baseline's rows of these cells."""
    from rescale_bench import checks
    from rescale_bench.runs.folder import read_table

    output = Path(known.output)
    sample = checks.remeasure(baseline, known.sample, known.seed, output, registry(known))
    for reason in sample.reasons:
        say(f"not measured: {reason}")
    return (baseline.iloc[:0] if sample.rows.empty else read_table(output)), sample.rows

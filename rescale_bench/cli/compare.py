"""`compare`: set two runs side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rescale_bench.cli.common import read_run, say
from rescale_bench.cli.screen import add_wide, screen, show
from rescale_bench.cli.table import metric_names


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("compare", help="set two runs side by side, image by image (`check` is the gate)")
    parser.add_argument("a", metavar="RUN_A", help="run folder or tidy file")
    parser.add_argument("b", metavar="RUN_B", help="the other one; differences are B − A")
    parser.add_argument("--metrics", help="only these")
    add_wide(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--fail-if-different", action="store_true",
        help="exit 1 unless both hold the same numbers bit for bit (clocks and memory apart), 4 if they share none",
    )  # fmt: skip
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the comparison on stdout; what differs changes the exit code only where that was asked for."""
    del given
    from rescale_bench.checks import compare_runs, comparison_json, render_comparison

    (_, a), (_, b) = read_run(known.a), read_run(known.b)
    found = compare_runs(a, b, metric_names(known.metrics))
    if known.json:
        show(comparison_json(found, known.a, known.b), "json")
    else:
        show(render_comparison(found, known.a, known.b, screen(known.wide)), wide=known.wide)
    if not known.fail_if_different:
        return 0
    if found.exit_status:
        say(f"--fail-if-different: {found.changed} of {found.compared} numbers differ, {found.alone} have no twin")
    return found.exit_status

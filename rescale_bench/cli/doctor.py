"""`doctor`: look over the installation and say what to do."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, say
from rescale_bench.cli.screen import show
from rescale_bench.machine.printable import printable


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("doctor", help="check installation, devices, plugins, weights, data and folders")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs"), metavar="FOLDER",
                        help="where results are to be written (default: %(default)s)")  # fmt: skip
    parser.add_argument("--format", choices=("plain", "json"), default="plain", help="(default: %(default)s)")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print a line for each check; exit 1 when there is a problem."""
    del given
    from rescale_bench.doctor import OK, PROBLEM, WARNING
    from rescale_bench.doctor.examination import examine

    plain = known.format == "plain"
    checks = []
    for check in examine(tuple(known.plugins or ()), known.output):
        checks.append(check)
        if plain:
            remedy = f" → {check.remedy}" if check.remedy else ""
            show(printable(f"{check.status:<8} {check.name:<20} {check.detail}{remedy}"), hang=30)
    counts = Counter(check.status for check in checks)
    if plain:
        say(f"{counts[OK]} ok, {counts[WARNING]} warnings, {counts[PROBLEM]} problems")
    else:
        content = {
            "checks": [dataclasses.asdict(check) for check in checks],
            "counts": {status: counts[status] for status in (OK, WARNING, PROBLEM)},
        }
        show(json.dumps(content, indent=2, ensure_ascii=False), "json")
    return 1 if counts[PROBLEM] else 0

"""`submit`: pack what may be published of a run into one file for a public leaderboard."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, name_list, read_run, registry, say
from rescale_bench.cli.screen import show
from rescale_bench.errors import UsageError
from rescale_bench.machine.writing import reason


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("submit", help="pack a run into one file for a public leaderboard")
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("-o", "--output", metavar="FILE.zip", help="where to write (default: NAME.zip)")
    parser.add_argument(
        "--pictures", metavar="SETS",
        help="pack small pictures, too, of these data sets; naming your own folder says that everybody may see them",
    )  # fmt: skip
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Pack, and print the checklist."""
    del given
    from rescale_bench.report.submitting import prepare_submission

    plugins = registry(known)
    path, frame = read_run(known.run, whole=True)
    prepared = prepare_submission(path, frame, plugins, name_list(known.pictures))
    output = Path(known.output or f"{prepared.name}.zip")
    if output.suffix != ".zip":
        raise UsageError(f"{output} does not end in .zip", "output")
    for holds, text in prepared.checklist:
        show(f"[{'x' if holds else ' '}] {text}", hang=4)
    try:
        prepared.write(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {reason(error)}", "output") from None
    say(f"wrote {output}: {len(prepared.rows)} rows, {output.stat().st_size / 1000:.0f} kB")
    return 0

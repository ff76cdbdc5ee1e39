"""`score`: measure images that were made elsewhere, as a run measures those of a method."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, command_line, registry, say
from rescale_bench.cli.config import make_request
from rescale_bench.cli.run import tell
from rescale_bench.cli.screen import show
from rescale_bench.datasets.selection import MAX_CROP
from rescale_bench.errors import UsageError
from rescale_bench.runner.progress import tracked


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("score", help="measure images that were made elsewhere, beside those of a run")
    parser.add_argument("--name", required=True, help="what rows call whoever made the images")
    parser.add_argument("--hr", required=True, metavar="HR", help="the original images: a folder or a data set")
    parser.add_argument(
        "--sr", required=True, metavar="SR", help="the restored images: a folder, or 'out/{name}_x4_SR.png'"
    )
    parser.add_argument("--lr", metavar="LR", default="", help="the LR images, as --sr; also gives bits per pixel")
    parser.add_argument("-s", "--scales", metavar="SCALE", required=True, help="the scale of the images: 4")
    parser.add_argument("--protocol", help="how to measure (default: rgb8; see `list protocols`)")
    parser.add_argument("-d", "--dataset", default="", metavar="NAME",
                        help="what rows call the data set (default: as --hr)")  # fmt: skip
    parser.add_argument("--crop", type=int, default=1, metavar="N", help="cut HR sides to multiples of N first")
    parser.add_argument("--codecs", metavar="CODEC", help="how the LR files were encoded: jpeg:90 (default: png)")
    parser.add_argument("--metrics", help="what to measure (see `list metrics`)")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where results go (default: runs/PROTOCOL)")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes (default: 1)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--reference", metavar="METHOD", help="method that differences are taken to (default: bicubic)")
    parser.add_argument("--dry-run", action="store_true", help="print which image belongs to which, and stop")
    parser.add_argument("--json", action="store_true", help="print the tidy rows as JSON instead of a table")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Pair, measure what is missing and print the table of these images."""
    from rescale_bench.runner.execute import measure
    from rescale_bench.runner.given import Files, plan_given

    if not 1 <= known.crop <= MAX_CROP:
        raise UsageError(f"{known.crop} is outside 1 to {MAX_CROP}", "crop")
    request = make_request({**vars(known), "methods": known.name, "datasets": known.hr}, None)
    known.plugins = request.plugins
    plugins = registry(known)
    grid = plan_given(request, Files(known.sr, known.lr, known.dataset, known.crop), plugins)
    if known.dry_run:
        return _dry_run(grid)
    outcome = measure(grid, plugins, command_line(given), None if known.quiet else tracked)
    return tell(outcome, request.reference, known)


def _dry_run(grid: Any) -> int:
    from tabulate import tabulate

    from rescale_bench.runner.given import pair_lines

    for note in grid.notes:
        say(f"note: {note}")
    rows = [[path or "none" for path in line] for line in pair_lines(grid)]
    show(tabulate(rows, headers=("HR", "SR", "LR")))
    show(f"would write to {grid.request.folder}")
    return 0

"""`report`: write a stored run as one HTML page that needs no network."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, command_line, read_input, registry, say, write_file
from rescale_bench.cli.table import add_view, metric_names
from rescale_bench.errors import UsageError
from rescale_bench.machine.memory import few_collections

LEAST, MOST = 1, 500
STEP = 20


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("report", help="write a stored run as one self-contained HTML page")
    add_input(parser)
    parser.add_argument("-o", "--output", metavar="FILE.html", help="where to write (default: report.html in the run)")
    add_view(parser)
    parser.add_argument("--metric", default="",
                        help="of the plots and the statistics (default: psnr_y, or psnr_rgb, or ssim_y)")  # fmt: skip
    parser.add_argument("--no-direct", action="store_true", help="rate-distortion: leave out JPEG of the HR itself")
    parser.add_argument("--budget", type=int, default=30, metavar="MB",
                        help="size of the page at most, in 10^6 bytes; pictures give way (default: 30)")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(call=call)


@few_collections()
def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Write the page and say where it is."""
    from rescale_bench.report import (
        View,
        build_report,
        chosen_metric,
        draw_charts,
        measure_references,
        read_source,
    )

    if not LEAST <= known.budget <= MOST:
        raise UsageError(f"--budget: {known.budget} is outside {LEAST} to {MOST} MB")
    path, frame = read_input(known)
    output = Path(known.output) if known.output else (path if path.is_dir() else path.parent) / "report.html"
    metrics = metric_names(known.metrics)
    source = read_source(path, frame)
    metric = chosen_metric(source, known.metric)
    view = View(
        known.reference,
        tuple(metrics) if metrics else None,
        metric,
        shlex.join(command_line(given)),
        known.budget * 1_000_000,
    )
    plugins = registry(known)
    tell = (lambda text: None) if known.quiet else say
    references = {} if known.no_direct else measure_references(source, plugins, known.reference, metric, tell)
    charts, missing = draw_charts(source, known.reference, metric, references)
    page = build_report(source, plugins, view, charts, _progress(known.quiet), references)
    write_file(output, page, "output")
    for reason in missing:
        say(reason)
    say(f"{output}: {len(page.encode()) / 1e6:.1f} MB")
    return 0


def _progress(quiet: bool) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if not quiet and done % STEP == 0 and total > STEP:
            say(f"{done} of {total} images")

    return tell

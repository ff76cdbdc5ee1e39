"""`choose`: which method, scale, codec and quality to take within limits on bits and time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.cli.common import add_input, command_line, name_list, read_input, registry, say
from rescale_bench.cli.screen import add_wide, screen, show
from rescale_bench.errors import UsageError
from rescale_bench.runner.progress import tracked

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.runner.request import Request

METHODS, SCALES = "bicubic,irn,aidn", "2,4"
CODECS = (
    "jpeg:20,jpeg:40,jpeg:60,jpeg:80,jpeg:90,webp:20,webp:40,webp:60,webp:80,webp:90,"
    "avif:30,avif:45,avif:60,avif:75,avif:90,jxl:distance=0.5,jxl:distance=1,jxl:distance=2,jxl:distance=4,jxl:distance=8"
)
DIRECT = "direct"
ASKED = ("methods", "scales", "codecs", "output", "limit", "jobs")
"""Flags that say what to measure; a stored run is read as it is."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("choose", help="find the method, scale, codec and quality that suit limits")
    add_input(parser)
    parser.add_argument("--max-bpp", type=float, required=True, metavar="BITS", help="mean bits per HR pixel at most")
    parser.add_argument("--max-seconds-per-mp", type=float, metavar="S", help="seconds per HR megapixel, down and up")
    parser.add_argument("--metric", default="psnr_y", help="of the quality (default: psnr_y)")
    parser.add_argument("-d", "--datasets", help="data sets of the run; without RUN: photographs to measure")
    parser.add_argument("-m", "--methods", help=f"to measure (default: {METHODS},{DIRECT}); {DIRECT} at scale 1")
    parser.add_argument("-s", "--scales", help=f"to measure (default: {SCALES})")
    parser.add_argument("--codecs", help="to measure (default: jpeg, webp, avif and jxl at five qualities each)")
    parser.add_argument("--limit", type=int, metavar="N", help="to measure: only the first N images")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="processes that measure (default: 1)")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where measurements go (default: runs/choose)")
    parser.add_argument("--plot", metavar="FILE", help="draw bits and quality, .png or .svg")
    add_wide(parser)
    parser.add_argument("--format", choices=("plain", "markdown", "latex", "html", "csv", "json"), default="plain")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the ranked answer and the front; exit 4 where nothing keeps the limits."""
    from rescale_bench.tables import render
    from rescale_bench.tables.choices import Limits, answers, choice_board, unused

    for name in ("max_bpp", "max_seconds_per_mp"):
        if (value := getattr(known, name)) is not None and not value > 0:
            raise UsageError(f"{value} is not above 0", name)
    stored = known.run or known.input or not known.datasets
    names = name_list(known.datasets) if stored else ()
    frame = _read(known) if stored else _measure(known, given)
    found = answers(frame, known.metric, Limits(known.max_bpp, known.max_seconds_per_mp), names)
    plugins = registry(known)
    lossy = [name for name, codec in plugins.codecs.items() if not codec.requires()]
    board = choice_board(found, unused(frame, lossy, plugins.methods))
    show(render(board, known.format, screen(known.wide)), known.format, known.wide)
    if known.plot:
        from rescale_bench.plots import save
        from rescale_bench.plots.front import front_figure

        save(front_figure(found), Path(known.plot))
        say(f"wrote {known.plot}")
    return 0 if any(answer.ranks for answer in found) else 4


def _read(known: argparse.Namespace) -> pd.DataFrame:
    asked = [name for name in ASKED if getattr(known, name) is not None]
    if asked:
        raise UsageError("a stored run is read as it is; give photographs and no run to measure", asked[0])
    return read_input(known)[1]


def _measure(known: argparse.Namespace, given: Sequence[str]) -> pd.DataFrame:
    """Measure what is missing, and return the rows of this request."""
    from rescale_bench.runner.execute import execute
    from rescale_bench.runs.folder import Run

    plugins = registry(known)
    cells: list[str] = []
    folder = Path(known.output or "runs/choose")
    for request in _requests(known, folder, DIRECT in plugins.methods):
        outcome = execute(request, plugins, command_line(given), None if known.quiet else tracked)
        for note in outcome.notes:
            if not known.quiet:
                say(f"note: {note}")
        if outcome.interrupted:
            raise KeyboardInterrupt
        cells += outcome.cells
    rows = Run(Run(folder).table).rows()
    return rows[rows["cell"].isin(cells)]


def _requests(known: argparse.Namespace, folder: Path, direct: bool) -> list[Request]:
    from rescale_bench.runner.request import Request

    def request(methods: str, scales: str) -> Request:
        names = dict.fromkeys([known.metric, "bpp", "seconds_down", "seconds_up"])
        return Request(
            methods=methods, datasets=known.datasets, scales=scales, metrics=",".join(names),
            codecs=known.codecs or CODECS, output=folder, limit=known.limit or 0, jobs=known.jobs or 1,
            plugins=tuple(known.plugins or ()),
        )  # fmt: skip

    # An option may hold a comma, too: what is no name stays where it was.
    names = name_list(known.methods or (f"{METHODS},{DIRECT}" if direct else METHODS))
    others = ",".join(name for name in names if name != DIRECT)
    found = [request(others, known.scales or SCALES)] if others else []
    return [*found, request(DIRECT, "1")] if DIRECT in names else found

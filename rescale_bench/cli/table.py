"""`table`: print a stored run as a leaderboard."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rescale_bench.cli.common import add_input, name_list, naming, read_input, registry
from rescale_bench.cli.screen import add_wide, screen, show
from rescale_bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.tables.paper import PrintedNumber

HINT = "`--wide` shows them, `--columns NAMES` chooses."
LAYOUTS = ("board", "paper")
FORMATS = ("plain", "markdown", "latex", "html", "csv", "json")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("table", help="print a stored run as a leaderboard")
    add_input(parser)
    add_view(parser)
    layouts = parser.add_mutually_exclusive_group()
    layouts.add_argument(
        "--rank", action="store_true", help="rank the methods, with ties where images cannot separate them"
    )
    layouts.add_argument(
        "--stats", action="store_true", help="worst image, low percentile, median, the image that moves a mean most"
    )
    layouts.add_argument(
        "--layout", choices=LAYOUTS, default="board", help="paper: data sets side by side, PSNR/SSIM in one cell"
    )
    parser.add_argument(
        "--with-published", nargs="?", const="", metavar="TABLES",
        help="--layout paper: add rows that papers printed; IRN,AIDN Table 1 or all (default: the first of each paper)",
    )  # fmt: skip
    parser.add_argument("--ceiling", metavar="NAME", help="add a column: what each method lacks to this one (gap)")
    parser.add_argument("--columns", metavar="NAMES", help="beside scale and method: metrics, images, delta, …")
    add_wide(parser)
    parser.add_argument("--format", choices=FORMATS, default="plain", help="(default: plain)")
    parser.set_defaults(call=call)


def add_view(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what a leaderboard shows."""
    parser.add_argument("--metrics", help="only these, in this order")
    parser.add_argument(
        "--reference", default="bicubic", help="method that differences are taken to (default: bicubic)"
    )


def metric_names(text: str | None) -> list[str] | None:
    """Split --metrics; options belong to the name before them (`bpp_jpeg:quality=90,subsampling=444`)."""
    from rescale_bench.api.specs import label, parse_list

    if not text:
        return None
    return [label(s.name, ",".join(f"{k}={v}" if k else v for k, v in s.given)) for s in parse_list(text, "metrics")]


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the table on stdout."""
    del given
    from rescale_bench.tables import leaderboard, render
    from rescale_bench.tables.fitting import choose_columns

    if known.with_published is not None and known.layout != "paper":
        raise UsageError("published rows stand in tables of --layout paper alone", "with_published")
    if known.ceiling and (known.rank or known.stats or known.layout != "board"):
        raise UsageError("gaps stand in the leaderboard alone, not with another layout", "ceiling")
    _, frame = read_input(known)
    if known.rank:
        from rescale_bench.tables.ranks import rank_board, rank_methods

        with naming("rank"):
            board = rank_board(rank_methods(frame, metric_names(known.metrics)))
    elif known.stats:
        from rescale_bench.tables.tails import tails_board

        with naming("stats"):
            board = tails_board(frame, metric_names(known.metrics))
    elif known.layout == "paper":
        from rescale_bench.tables.paper import paper_board

        board = paper_board(frame, metric_names(known.metrics), _printed(known, frame))
    else:
        board = leaderboard(frame, known.reference, metric_names(known.metrics))
    if known.ceiling:
        from rescale_bench.tables.gaps import with_gaps

        board = with_gaps(board, known.ceiling)
    if known.columns:
        board = choose_columns(board, [name.strip() for name in known.columns.split(",")])
    show(render(board, known.format, screen(known.wide, HINT)), known.format, known.wide)
    return 0


def _printed(known: argparse.Namespace, frame: pd.DataFrame) -> Sequence[PrintedNumber]:
    from rescale_bench import checks

    if known.with_published is None:
        return ()
    wanted = name_list(known.with_published)
    return checks.printed_numbers(frame, checks.read_published(checks.shipped_tables()), registry(known), wanted)

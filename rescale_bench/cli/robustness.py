"""`robustness`: what is left of a ranking when something happens to the LR."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, name_list, read_input, registry, say
from rescale_bench.cli.screen import folded, screen, show

WIDTH = 80
"""Characters of a line where no terminal says how many it has."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("robustness", help="compare methods by what is left of them when the LR is damaged")
    add_input(parser)
    parser.add_argument("--metric", default="psnr_y", help="(default: psnr_y)")
    parser.add_argument(
        "--reference", default="bicubic", help="methods that others may fall below, bicubic,bicubic+edsr-baseline "
        "(default: bicubic)"
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="draw it too: .png or .svg")
    parser.add_argument("--format", choices=("plain", "markdown", "json"), default="plain", help="(default: plain)")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the tables, and draw where that is asked for."""
    del given
    from rescale_bench.tables import render
    from rescale_bench.tables.stability import grids, stability_board, stability_json

    plugins = registry(known)
    _, frame = read_input(known)
    references = name_list(known.reference)
    found = grids(frame, plugins, known.metric)
    board = stability_board(found, references)
    if known.format == "json":
        show(stability_json(board), "json")
    elif known.format == "markdown":
        show(render(board, "markdown"), "markdown")
    else:
        shown = screen()
        width = shown.width or WIDTH
        show(folded(render(board, "plain", replace(shown, width=width)), width))
    if known.output:
        from rescale_bench.plots import save
        from rescale_bench.plots.strength import strength_figure

        save(strength_figure(found, references[0]), Path(known.output))
        say(f"wrote {known.output}")
    return 0

"""`plot`: draw a stored run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.cli.common import add_input, name_list, read_input, registry, say
from rescale_bench.cli.screen import show
from rescale_bench.cli.table import metric_names

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.plots import References

KINDS = ("scale", "rate-distortion", "cost", "parameters", "lr", "strip")
VIEWS = ("lr-difference", "spectrum", "z", "kernels", "routing")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("plot", help="draw a stored run: " + ", ".join((*KINDS, *VIEWS)))
    add_input(parser)
    kinds = (*KINDS, *VIEWS)
    parser.add_argument(
        "--kind", choices=kinds, default="scale", metavar="KIND", help=f"{', '.join(kinds)} (default: scale)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help=".png or .svg (default: KIND.png)")
    parser.add_argument("--metric", default="psnr_y", help="up the y axis; several for --kind scale (default: psnr_y)")
    parser.add_argument("-m", "--methods", default="", help="only these: names, or labels as the table prints them")
    parser.add_argument("-d", "--datasets", default="", help="only these")
    parser.add_argument("-s", "--scales", default="", help="only these: 2,3,4 or 1.1:4.0")
    parser.add_argument("--codecs", default="", help="only these codecs of the LR file: png,jpeg:90")
    parser.add_argument("--image", default="", help="of pictures of one image: its name (default: the first)")
    parser.add_argument("--protocol", default="", help="needed where the run holds several")
    parser.add_argument(
        "--reference", default="bicubic", help="method that others are compared with (default: bicubic)"
    )
    parser.add_argument("--relative", action="store_true", help="scale, strip: draw the difference to the reference")
    parser.add_argument("--no-direct", action="store_true", help="rate-distortion: leave out JPEG of the HR itself")
    parser.add_argument("--interpolation", choices=("akima", "pchip", "cubic"), default="akima",
                        help="of BD-rate and BD-PSNR (default: akima)")  # fmt: skip
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Draw, and print BD-rates for rate-distortion."""
    del given
    from rescale_bench.plots import figure, save, view
    from rescale_bench.runs.folder import Run

    run, frame = read_input(known)
    options = _options(known)
    if known.kind in VIEWS:
        path = Path(known.output or f"{known.kind}.png")
        save(view(known.kind, Run(run), frame, registry(known), image=known.image, **options), path)
        say(f"wrote {path}")
        return 0
    references = _references(known, run, frame, options)
    path = Path(known.output or f"{known.kind}.png")
    save(figure(known.kind, frame, direct=references.curves, absent=references.notes, **options), path)
    if known.kind == "rate-distortion":
        _print_bd(frame, known, options, references.curves)
    say(f"wrote {path}")
    return 0


def _options(known: argparse.Namespace) -> dict[str, Any]:
    from rescale_bench.api.scales import parse_scales
    from rescale_bench.api.specs import parse_list

    plugins = registry(known) if known.codecs else None
    return {
        "metrics": metric_names(known.metric) or [],
        "datasets": name_list(known.datasets),
        "methods": name_list(known.methods),
        "scales": [str(scale) for scale in parse_scales(known.scales)] if known.scales else (),
        "codecs": [plugins.choose_codec(spec).label for spec in parse_list(known.codecs, "codecs")] if plugins else [],
        "protocol": known.protocol,
        "reference": known.reference,
        "relative": known.relative,
    }


def _references(known: argparse.Namespace, path: Path, frame: pd.DataFrame, options: dict[str, Any]) -> References:
    """Measure the HR images of the run as JPEG where they are at hand; say where they are not."""
    from rescale_bench.plots import References, reference_curves
    from rescale_bench.runs.folder import Run

    if known.kind != "rate-distortion" or known.no_direct:
        return References({}, {})
    found = reference_curves(frame, registry(known), Run(path), say, **options)
    for note in found.notes:
        say(note)
    born = {dataset: curve.born_as for (dataset, _), curve in found.curves.items() if curve.born_as}
    for dataset, quality in born.items():
        say(f"warning: {dataset} was born as JPEG (quality about {quality}): its direct JPEG near that quality "
            "gives back what is already lost; draw rate-distortion on Kodak24")  # fmt: skip
    return found


def _print_bd(
    frame: pd.DataFrame, known: argparse.Namespace, options: dict[str, Any], direct: Mapping[Any, Any]
) -> None:
    from rescale_bench.plots import bd_rows, bd_text, rate_curves

    curves = rate_curves(frame, **options)
    show(bd_text(bd_rows(curves, known.reference, direct, known.interpolation), known.metric))

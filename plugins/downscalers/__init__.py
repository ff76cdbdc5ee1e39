"""Downscalers without weights: `area`, `dpid`, `perceptual`, the first half of pairs such as `dpid+edsr`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Option, Rescaler, States, Value
from rescale_bench.api.scales import NativeScales

if TYPE_CHECKING:
    import torch

LAMBDA = Option("lambda", 0.5, "weight of detail: 0.5 as in CAR's tables, 1 as in the authors' program", low=0, high=10)
ROUNDING = Option(
    "rounding", "truncate", "how guidance and result become 8 bit; the authors truncate", ("truncate", "round")
)
WINDOW = Option("window", 2, "side of the windows of SSIM, in LR pixels", low=2, high=16)


def _area(options: Mapping[str, Value], levels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    from .filters import area

    del options
    return area(levels, size)


def _dpid(options: Mapping[str, Value], levels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    from .filters import dpid

    return dpid(levels, size, float(options[LAMBDA.name]), str(options[ROUNDING.name]))


def _perceptual(options: Mapping[str, Value], levels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    from .filters import perceptual

    return perceptual(levels, size, int(options[WINDOW.name]))


def _method(
    name: str,
    summary: str,
    citation: str,
    function: Callable[[Mapping[str, Value], torch.Tensor, tuple[int, int]], torch.Tensor],
    *options: Option,
) -> Method:
    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        from functools import partial

        from .filters import Downscaler

        del states, device
        return Downscaler(partial(function, options))

    return Method(
        name=name,
        summary=f"{summary}; pair it: {name}+bicubic",
        citation=citation,
        scales=NativeScales.between("1", "64"),
        build=build,
        halves=frozenset({"down"}),
        options=options,
        margin=None,  # LR pixels lie at the ratio of the whole image's sides, which tiles do not have.
    )


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the three downscalers."""
    yield _method(
        "area",
        "mean over each LR pixel's rectangle of HR, cut pixels by their parts, as OpenCV's INTER_AREA",
        "textbook (box filter)",
        _area,
    )
    yield _method(
        "dpid",
        "detail-preserving downscaling: pixels that differ from their surroundings count more",
        "Weber, Waechter, Amend, Guthe, Goesele, Rapid, Detail-Preserving Image Downscaling, SIGGRAPH Asia 2016, "
        "https://doi.org/10.1145/2980179.2980239",
        _dpid,
        LAMBDA,
        ROUNDING,
    )
    yield _method(
        "perceptual",
        "the LR that maximises SSIM to the HR window by window; CAR's rows are not reproduced, least of all on Set14 "
        "(×2, bits per LR pixel: published 12.01, here 12.70)",
        "Öztireli, Gross, Perceptually Based Downscaling of Images, SIGGRAPH 2015, https://doi.org/10.1145/2766891",
        _perceptual,
        WINDOW,
    )

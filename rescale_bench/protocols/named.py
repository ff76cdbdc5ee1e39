"""The named measuring protocols that ship with rescale-bench (spec: who rounds, crops and converts what)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from decimal import Decimal

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Protocol
from rescale_bench.api.scales import is_integer, lr_side

RGB8 = Protocol(
    name="rgb8",
    summary="8-bit RGB in, 8-bit LR file, 8-bit RGB out; Y unrounded; border ceil(s)",
    source="IRN's test script at integer scales (Xiao et al., ECCV 2020); whole images at fractional ones",
)

PROTOCOLS = (
    RGB8,
    Protocol(
        name="srcnn-y",
        summary="bicubic in the rounded Y plane with a float LR: the published bicubic rows",
        source="Dong et al., SRCNN (TPAMI 2016) scripts, whose bicubic rows later papers copied",
        plane="y",
        grey="a grey image is its own Y, full range",
        lr_rounding="none",
        luma="bt601-rounded",
        lr_scores="float",
    ),
    Protocol(
        name="car",
        summary="CAR's script: crop to 8, SR truncated to 8 bit, its own Y, symmetric SSIM edges",
        source="Sun and Chen, Learned Image Downscaling (TIP 2020), published test script",
        mod_crop="8",
        sr_rounding="truncate",
        luma="car",
        ssim_edges="symmetric",
    ),
    Protocol(
        name="aidn",
        summary="AIDN's script: crop to 12, SR kept in float, LR scored in float without its border",
        source="Xing et al., Scale-arbitrary Invertible Image Downscaling (arXiv 2201.12576), published test script",
        mod_crop="12",
        sr_rounding="none",
        lr_border="scale",
        lr_scores="float",
    ),
    dataclasses.replace(
        RGB8,
        name="rgb8-whole",
        summary="rgb8 on the whole image at every scale; fixed-scale models pad by reflection and cut back",
        source="rescale-bench: what a photo service needs",
        mod_crop="none",
    ),
    dataclasses.replace(
        RGB8,
        name="ntire",
        summary="rgb8 with a border of 6 + s pixels: the rule by which EDSR's paper scores DIV2K in RGB",
        source="Lim et al., EDSR (CVPRW 2017), published test script; scoring script of the NTIRE challenges",
        border="scale+6",
    ),
)


@hookimpl
def rescale_bench_protocols() -> Iterable[Protocol]:
    """Yield the protocols of this module."""
    return PROTOCOLS


def border(rule: str, scale: Decimal) -> int:
    """Turn a border rule into pixels: "scale" is ceil(scale), "scale+6" six more, else a number of pixels."""
    word, _, more = rule.partition("+")
    return math.ceil(scale) + int(more or 0) if word == "scale" else int(rule)


def crop_multiple(protocol: Protocol, scale: Decimal) -> int:
    """Say of which number the HR sides are made multiples before anything else (1: not cropped)."""
    if protocol.mod_crop == "scale":
        return int(scale) if is_integer(scale) else 1
    return 1 if protocol.mod_crop == "none" else int(protocol.mod_crop)


def reference_size(size: tuple[int, int], scale: Decimal) -> tuple[int, int]:
    """Compute the size of the reference LR, ceil(side / scale) per axis."""
    return lr_side(size[0], scale), lr_side(size[1], scale)

"""The named measuring protocols that ship with rescale-bench (spec: who rounds, crops and converts what)."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import get_args, get_type_hints

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.hookspecs import hookimpl
from rescale_bench.interfaces import Protocol
from rescale_bench.scales import is_integer, lr_side
from rescale_bench.specs import Spec

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
)


@hookimpl
def rescale_bench_protocols() -> Iterable[Protocol]:
    """Yield the protocols of this module."""
    return PROTOCOLS


def border(rule: str, scale: Decimal) -> int:
    """Turn a border rule ("scale" or a number of pixels) into pixels: ceil(scale) for "scale"."""
    return math.ceil(scale) if rule == "scale" else int(rule)


def crop_multiple(protocol: Protocol, scale: Decimal) -> int:
    """Say of which number the HR sides are made multiples before anything else (1: not cropped)."""
    if protocol.mod_crop == "scale":
        return int(scale) if is_integer(scale) else 1
    return 1 if protocol.mod_crop == "none" else int(protocol.mod_crop)


def reference_size(size: tuple[int, int], scale: Decimal) -> tuple[int, int]:
    """Compute the size of the reference LR, ceil(side / scale) per axis."""
    return lr_side(size[0], scale), lr_side(size[1], scale)


def with_switches(protocol: Protocol, spec: Spec) -> Protocol:
    """Change single switches of a protocol (`rgb8:border=0,luma=full`); the new name says so.

    Raises UsageError for switches that do not exist or values they do not take.
    """
    if not spec.given:
        return protocol
    hints = get_type_hints(Protocol)
    fields = [f.name for f in dataclasses.fields(Protocol) if f.name not in ("name", "summary", "source", "version")]
    changes: dict[str, str] = {}
    for key, text in spec.given:
        if key not in fields or key in ("grey", "reference", "data_range", "plane"):
            raise UnknownNameError(f"switch of protocol {protocol.name}", key, _switches(fields))
        allowed = get_args(hints[key])
        if allowed and text not in allowed:
            raise UsageError(f"--protocol: {key}={text}; choose from {', '.join(allowed)}")
        if not allowed and not (re.fullmatch(r"[0-9]{1,5}", text) or text in ("scale", "none")):
            raise UsageError(f"--protocol: {key}={text}; give scale, none or a number of pixels")
        if key == "mod_crop" and text.strip("0") == "":
            raise UsageError(f"--protocol: mod_crop={text}; give scale, none or a number above 0")
        value = "0" if not allowed and text == "none" and key != "mod_crop" else text
        if getattr(protocol, key) != value:
            changes[key] = value
    suffix = ",".join(f"{key}={value}" for key, value in sorted(changes.items()))
    name = f"{protocol.name}:{suffix}" if suffix else protocol.name
    return dataclasses.replace(protocol, name=name, **changes)  # type: ignore[arg-type]  # checked above


def _switches(fields: list[str]) -> list[str]:
    return [name for name in fields if name not in ("grey", "reference", "data_range", "plane")]

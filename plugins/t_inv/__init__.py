"""Tri-branch invertible blocks in IRN and SAIN: T-IRN and T-SAIN (Bao et al., AAAI 2025)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, WeightsFile
from rescale_bench.api.scales import NativeScales

PROJECT = "https://github.com/Jingwei-Bao/T-InvBlocks"
PARAMETERS = {"t-irn": {"x2": 1_571_109, "x4": 4_673_617}, "t-sain": {"x2": 2_094_796, "x4": 5_449_196}}


def _build(name: str, states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build

    del options
    return build(name, states, device)


def _margin(name: str, states: States, options: Mapping[str, Value]) -> int | None:
    from .rescaler import build_margin

    del options
    return build_margin(name, states)


def _initial(name: str, part: str, seed: int) -> State:
    from .rescaler import initial

    return initial(name, part, seed)


def _parts(scale: Decimal) -> tuple[str, ...]:
    return (f"x{scale}",)


def _method(name: str, summary: str, codec: str, training: str) -> Method:
    label = name.replace("-", "").upper()
    files = {part: f"{label}{part}.pth" for part in PARAMETERS[name]}
    folder = f"{PROJECT}, experiments/pretrained_{label}"
    return Method(
        name=name,
        summary=summary,
        citation=(f"Bao et al., Plug-and-Play Tri-Branch Invertible Block for Image Rescaling (AAAI 2025), {PROJECT}"),
        scales=NativeScales.of(2, 4),
        build=partial(_build, name),
        parts=_parts,
        weights=tuple(
            WeightsFile("published", part, file, f"{folder}/{file}", training=training, licence="Apache-2.0")
            for part, file in files.items()
        ),
        shipped=Path(__file__).parent / "weights" / name,
        initial=partial(_initial, name),
        parameters=PARAMETERS[name],
        codec=codec,
        traits=Traits(batches=True, compiles=True),
        build_margin=partial(_margin, name),
        training=f"{__name__}.training",
    )


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield both methods."""
    yield _method("t-irn", "IRN with blocks of three branches: luma, chroma, details; z = 0", "", "DIV2K, as the paper")
    yield _method(
        "t-sain",
        "SAIN with blocks of three branches: luma, chroma, details; z = 0; made for JPEG",
        "jpeg:75",
        "DIV2K, JPEG at quality 75, as the paper",
    )

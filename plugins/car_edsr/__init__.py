"""CAR+EDSR: content-adaptive resampling down, EDSR up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, WeightsFile
from rescale_bench.api.scales import NativeScales

REPOSITORY = "https://github.com/sunwj/CAR"
PARAMETERS = {"kgn-x2": 10_645_663, "usn-x2": 40_729_627, "kgn-x4": 9_896_455, "usn-x4": 43_089_947}
"""Mean shifts included, as published files hold them; the paper says 51.1 M and 52.8 M for both networks."""


def _parts(scale: Decimal) -> tuple[str, ...]:
    return f"kgn-x{scale}", f"usn-x{scale}"


def _weights(part: str) -> WeightsFile:
    network, _, scale = part.partition("-x")
    source = f"{network}.pth of the folder for {scale}x, in the models linked from the README of {REPOSITORY}"
    training = (
        "DIV2K 1-800, L1 with offset and partial-TV terms, soft rounding, from EDSR's weights (TIP 2020, sec. 4.1)"
    )
    return WeightsFile("published", part, f"{network}.pth", source, training=training)


def _initial(part: str, seed: int) -> State:
    from rescale_bench.networks.edsr import EdsrLayout, initial_edsr

    from .kernels import KernelLayout, initial_kernels

    network, _, scale = part.partition("-x")
    if network == "kgn":
        return State(initial_kernels(KernelLayout(int(scale)), seed))
    return State(initial_edsr(EdsrLayout(32, 256, int(scale)), seed))


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build_car

    del options
    return build_car(states, device)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="car-edsr",
        summary="content-adaptive resampling (kernels and offsets per LR pixel) down, EDSR up; trained together",
        citation=(
            "Sun, Chen, Learned Image Downscaling for Upscaling using Content Adaptive Resampler, "
            "IEEE TIP 2020, https://arxiv.org/abs/1907.12904"
        ),
        scales=NativeScales.of(2, 4),
        build=_build,
        parts=_parts,
        weights=tuple(_weights(part) for part in PARAMETERS),
        shipped=Path(__file__).parent / "weights",
        initial=_initial,
        parameters=PARAMETERS,
        # EDSR's 68 cover the resampler's 88 HR pixels; holds for tiles that begin at multiples of 8.
        margin=68,
        traits=Traits(batches=True, compiles=True),
        training=f"{__name__}.training",
    )

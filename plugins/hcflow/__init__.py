"""HCFlow, the hierarchical conditional flow, as a ×4 rescaler (Liang et al., ICCV 2021)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Option, Rescaler, State, States, Traits, Value, WeightsFile
from rescale_bench.api.scales import NativeScales

PROJECT = "https://github.com/JingyunLiang/HCFlow"
FILE = "Rescaling_DF2K_X4_HCFlow.pth"
Z = Option(
    "z",
    "learned",
    "noise of the inverse: drawn from N(0, 1) or zero; learned: as the weights say, or drawn, as the authors' test",
    ("learned", "gaussian", "zero"),
)
HEAT = Option("heat", 1.0, "factor on the drawn noise; 0 draws nothing", low=0.0, high=10.0)


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build

    return build(states, device, options)


def _margin(states: States, options: Mapping[str, Value]) -> int | None:
    from .rescaler import build_margin

    return build_margin(states, options)


def _initial(part: str, seed: int) -> State:
    from .rescaler import initial

    return initial(part, seed)


def _parts(scale: Decimal) -> tuple[str, ...]:
    return (f"x{scale}",)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="hcflow",
        summary="normalizing flow whose details are conditioned on the LR; one draw",
        citation=f"Liang et al., Hierarchical Conditional Flow (ICCV 2021), {PROJECT}",
        scales=NativeScales.of(4),
        build=_build,
        options=(Z, HEAT),
        parts=_parts,
        weights=(
            WeightsFile(
                "published",
                "x4",
                FILE,
                f"{PROJECT}/releases, release v0.0, {FILE}",
                training="DF2K, 500k steps, as the paper",
                licence="Apache-2.0",
            ),
        ),
        shipped=Path(__file__).parent / "weights",
        initial=_initial,
        parameters={"x4": 4_396_350},
        traits=Traits(draws=True, batches=True, compiles=True),
        build_margin=_margin,
        training=f"{__name__}.training",
    )

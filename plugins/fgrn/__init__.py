"""Image rescaling with flow guidance (FGRN, BMVC 2021), from the paper: no code or weights were published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, scale_part
from rescale_bench.api.scales import NativeScales


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build

    return build(states, device, options)


def _initial(part: str, seed: int) -> State:
    from .rescaler import initial

    return initial(part, seed)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="fgrn",
        summary="residual down- and upscaler with an invertible flow in between (β bounded by default)",
        citation="Image rescaling with flow guidance (FGRN, BMVC 2021)",
        scales=NativeScales.of(2, 4),
        build=_build,
        initial=_initial,
        parts=scale_part,
        shipped=Path(__file__).parent / "weights",
        parameters={"x2": 1_330_949, "x4": 3_350_687},
        traits=Traits(batches=True, compiles=True),
        training=f"{__name__}.training",
    )

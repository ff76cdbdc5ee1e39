"""SAN: super-resolution with second-order attention, the upscaling half of `bicubic+san`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Option, Rescaler, State, States, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

PROJECT = "https://github.com/daitao/SAN"
CHOP = Option("chop", True, "restore overlapping quarters, as for the paper's tables; attention then spans a quarter")
PARAMETERS = {"x2": 15_712_800, "x3": 15_897_440, "x4": 15_860_512, "x8": 16_008_224}


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from rescale_bench.networks.super_resolution import in_quarters, loader, serve_upscalers

    from .network import San

    return serve_upscalers("san", states, loader("san", San, device), in_quarters if options[CHOP.name] else None)


def _initial(part: str, seed: int) -> State:
    from rescale_bench.networks.loading import seeded_tensors

    from .network import San

    return State(seeded_tensors(lambda: San(int(part.removeprefix("x"))), seed))


def _file(part: str) -> WeightsFile:
    file = f"SAN_BI{part.upper()}.pt"
    training = "DIV2K 1-800, MATLAB bicubic LR, L1, Adam 1e-4 (sec. 4.1)"
    return WeightsFile("published", part, file, f"{file} from the links in the README of {PROJECT}", training=training)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="san",
        summary="SAN super-resolution, second-order and non-local attention; pair it: bicubic+san",
        citation=(
            "Dai, Cai, Zhang, Xia, Zhang, Second-Order Attention Network for Single Image Super-Resolution, CVPR 2019, "
            f"{PROJECT}"
        ),
        scales=NativeScales.of(2, 3, 4, 8),
        build=_build,
        halves=frozenset({"up"}),
        options=(CHOP,),
        parts=scale_part,
        weights=tuple(map(_file, PARAMETERS)),
        initial=_initial,
        parameters=PARAMETERS,
        margin=None,  # attention spans the image
    )

"""AIDN: invertible downscaling by any factor in (1, 4], with one network for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Option, Rescaler, State, States, Value, WeightsFile
from rescale_bench.api.scales import NativeScales

SIZE = Option(
    "size",
    "exact",
    "LR side: exact is ceil(side/s), the harness's rule; published is the authors' ceil(side·(1.0/s)) in floats, "
    "one pixel more for a few sides (276 at 2.3), which the harness then refuses",
    choices=("exact", "published"),
)
SCALES = NativeScales.between("1", "4")


def _parts(scale: Decimal) -> tuple[str, ...]:
    del scale
    return ("any",)


def _initial(part: str, seed: int) -> State:
    from .layout import AidnLayout
    from .network import initial_aidn

    del part
    return State(initial_aidn(AidnLayout(), seed))


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build_aidn

    return build_aidn(states, device, str(options.get(SIZE.name, SIZE.default)), SCALES)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="aidn",
        summary="scale-adaptive encoder and decoder with conditional resampling; any scale up to 4, any image size",
        citation=(
            "Xing, Hu, Wong, Scale-arbitrary Invertible Image Downscaling, IEEE TIP 2023, "
            "https://arxiv.org/abs/2201.12576"
        ),
        scales=SCALES,
        build=_build,
        options=(SIZE,),
        parts=_parts,
        weights=(
            WeightsFile(
                "published",
                "any",
                "AIDN.pth.tar",
                "AIDN.pth.tar, linked from the README of https://github.com/Doubiiu/AIDN",
                training="DIV2K 1-800, scales 1.1 to 4.0, LR towards bicubic (L2) and HR (L1), 300 epochs (sec. 4.1)",
            ),
        ),
        shipped=Path(__file__).parent / "weights",
        initial=_initial,
        # Constant tables of the JPEG-aware variant (AIDN+).
        ignored=("jpeg.*",),
        parameters={"any": 3_775_362},
        training=f"{__name__}.training",
    )

"""EDSR: super-resolution networks for integer scales, the upscaling half of `bicubic+edsr` and `bicubic+edsr-type1`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import (
    Build,
    Method,
    Option,
    Rescaler,
    State,
    States,
    Traits,
    Value,
    WeightsFile,
    scale_part,
)
from rescale_bench.api.scales import NativeScales

if TYPE_CHECKING:
    from rescale_bench.networks.super_resolution import SuperResolution

CITATION = (
    "Lim, Son, Kim, Nah, Lee, Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPRW 2017, "
    "https://arxiv.org/abs/1707.02921"
)
FOLDER = "https://cv.snu.ac.kr/research/EDSR/models/"
REPOSITORY = "https://github.com/sanghyun-son/EDSR-PyTorch"
TRAINING = "DIV2K 1-800, bicubic LR, patches of 192 (HR 48·s), L1, Adam 1e-4 (EDSR, sec. 4.2)"


def _weights(files: Mapping[str, str]) -> tuple[WeightsFile, ...]:
    def record(part: str, file: str) -> WeightsFile:
        source = f"{FOLDER}{file} (linked from {REPOSITORY})"
        return WeightsFile("published", part, file, source, training=TRAINING)

    return tuple(record(part, file) for part, file in files.items())


def _build(name: str, option: Option) -> Build:
    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        from rescale_bench.networks.edsr import load_edsr, residual_scale
        from rescale_bench.networks.super_resolution import serve_upscalers

        default = float(option.default)
        given = float(options.get(option.name, default))

        def load(part: str, state: State) -> SuperResolution:
            where = f"{name} {part}"
            residual = given if given != default else residual_scale(state.metadata, default, where)
            return load_edsr(state.tensors, residual, device, where)

        return serve_upscalers(name, states, load)

    return build


def _method(name: str, blocks: int, width: int, residual_scale: float, files: Mapping[str, str]) -> Method:
    def initial(part: str, seed: int) -> State:
        from rescale_bench.networks.edsr import EdsrLayout, initial_edsr

        return State(initial_edsr(EdsrLayout(blocks, width, int(part.removeprefix("x"))), seed))

    option = Option(
        "residual_scale",
        residual_scale,
        "factor in front of every residual; the weights' own metadata sets it too",
        low=0,
    )
    return Method(
        name=name,
        summary=f"EDSR super-resolution, {blocks} residual blocks of {width} channels; pair it: bicubic+{name}",
        citation=CITATION,
        scales=NativeScales.of(2, 3, 4),
        build=_build(name, option),
        halves=frozenset({"up"}),
        options=(option,),
        parts=scale_part,
        weights=_weights(files),
        shipped=Path(__file__).parent / "weights" / name,
        initial=initial,
        parameters=PARAMETERS[name],
        # 2 convolutions a block, head, body's last, and 2 pixels for upsampler and tail.
        margin=2 * blocks + 4,
        traits=Traits(batches=True, compiles=True),
        training=f"{__name__}.training",
    )


PARAMETERS = {
    "edsr": {"x2": 40_729_627, "x3": 43_680_027, "x4": 43_089_947},
    "edsr-baseline": {"x2": 1_369_883, "x3": 1_554_523, "x4": 1_517_595},
}
"""Mean shifts included, as published files hold them."""


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the large model and the baseline."""
    large = {"x2": "edsr_x2-0edb8a3e.pt", "x3": "edsr_x3-ea3ef2c6.pt", "x4": "edsr_x4-4f62e9ef.pt"}
    yield _method("edsr", 32, 256, 0.1, large)
    small = {
        "x2": "edsr_baseline_x2-1bc95232.pt",
        "x3": "edsr_baseline_x3-abf2a44e.pt",
        "x4": "edsr_baseline_x4-6b446fab.pt",
    }
    yield _method("edsr-baseline", 16, 64, 1.0, small)

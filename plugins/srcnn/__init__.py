"""SRCNN: the first super-resolution network, on Y, the upscaling half of `bicubic+srcnn`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

if TYPE_CHECKING:
    import torch

    from rescale_bench.networks.super_resolution import SuperResolution

HOME = "https://mmlab.ie.cuhk.edu.hk/projects/SRCNN.html"
PORT = "https://github.com/yjn870/SRCNN-pytorch"
PARTS = ("x2", "x3", "x4")


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from rescale_bench.networks.luma import LumaRescaler
    from rescale_bench.networks.super_resolution import loader, serve_upscalers

    from .network import Srcnn, padding_of

    def load(part: str, state: State) -> SuperResolution:
        padding = padding_of(state, f"srcnn {part}")
        return loader("srcnn", lambda scale: Srcnn(scale, padding), device)(part, state)

    del options
    return LumaRescaler(serve_upscalers("srcnn", states, load))


def _initial(part: str, seed: int) -> State:
    from rescale_bench.networks.loading import seeded_tensors

    from .network import Srcnn

    return State(seeded_tensors(lambda: Srcnn(int(part.removeprefix("x")), "zeros"), seed))


def _translate(tensors: Mapping[str, torch.Tensor]) -> State:
    from .network import translate

    return translate(tensors)


def _authors(part: str) -> WeightsFile:
    training = "91 images or ImageNet, MATLAB bicubic LR, L2 on Y (sec. 4.1); borders are repeated"
    source = f"the MATLAB code at {HOME} (model/9-5-5(ImageNet)/{part}.mat)"
    return WeightsFile("published", part, f"{part}.mat", source, training=training)


def _port(part: str) -> WeightsFile:
    training = "91 images, Pillow's bicubic LR, L2 on Y; zeros around the image"
    return WeightsFile("port", part, f"srcnn_{part}.pth", f"the links in the README of {PORT}", training=training)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="srcnn",
        summary="SRCNN (9-5-5) super-resolution of Y, chroma by bicubic; pair it: bicubic+srcnn",
        citation=(
            "Dong, Loy, He, Tang, Image Super-Resolution Using Deep Convolutional Networks, TPAMI 2016, "
            "https://arxiv.org/abs/1501.00092"
        ),
        scales=NativeScales.of(2, 3, 4),
        build=_build,
        halves=frozenset({"up"}),
        parts=scale_part,
        weights=(*map(_authors, PARTS), *map(_port, PARTS)),
        initial=_initial,
        translate=_translate,
        parameters=dict.fromkeys(PARTS, 57_281),
        margin=None,  # whether an image is grey is a fact of the whole image
        traits=Traits(compiles=True),
    )

"""SRDenseNet: super-resolution of Y with dense blocks, the upscaling half of `bicubic+srdensenet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

PORT = "https://github.com/yjn870/SRDenseNet-pytorch"


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from rescale_bench.networks.luma import LumaRescaler
    from rescale_bench.networks.super_resolution import loader, serve_upscalers

    from .network import SrDenseNet

    del options
    return LumaRescaler(serve_upscalers("srdensenet", states, loader("srdensenet", SrDenseNet, device)))


def _initial(part: str, seed: int) -> State:
    from rescale_bench.networks.loading import seeded_tensors

    from .network import SrDenseNet

    del part
    return State(seeded_tensors(SrDenseNet, seed))


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="srdensenet",
        summary="SRDenseNet super-resolution of Y, chroma by bicubic; a port, 31.80 dB on Set5 ×4 where the paper has "
        "32.02; pair it: bicubic+srdensenet",
        citation=(
            "Tong, Li, Liu, Gao, Image Super-Resolution Using Dense Skip Connections, ICCV 2017, "
            f"https://doi.org/10.1109/ICCV.2017.514; the network is that of the port {PORT}"
        ),
        scales=NativeScales.of(4),
        build=_build,
        halves=frozenset({"up"}),
        parts=scale_part,
        weights=(
            WeightsFile(
                "port", "x4", "srdensenet_x4.pth", f"the links in the README of {PORT}",
                training="DIV2K 1-800, Pillow's bicubic LR, L2 on Y, Adam 1e-4",
            ),
        ),
        initial=_initial,
        parameters={"x4": 2_659_585},
        margin=None,  # whether an image is grey is a fact of the whole image
        traits=Traits(compiles=True),
    )  # fmt: skip

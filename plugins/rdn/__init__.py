"""RDN: super-resolution with residual dense blocks, the upscaling half of `bicubic+rdn`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

PORT = "https://github.com/yjn870/RDN-pytorch"
PARAMETERS = {"x2": 22_123_395, "x3": 22_308_035, "x4": 22_271_107}


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from rescale_bench.networks.super_resolution import loader, serve_upscalers

    from .network import Rdn

    del options
    return serve_upscalers("rdn", states, loader("rdn", Rdn, device))


def _initial(part: str, seed: int) -> State:
    from rescale_bench.networks.loading import seeded_tensors

    from .network import Rdn

    return State(seeded_tensors(lambda: Rdn(int(part.removeprefix("x"))), seed))


def _file(part: str) -> WeightsFile:
    source = (
        f"the links in the README of {PORT}; it reports 38.18, 34.73, 32.40 dB on Set5; the paper has 38.24, 34.71, "
        "32.47 (the authors' own files, RDN_BIX2.t7 and so on, are Torch7's and cannot be read)"
    )
    training = "DIV2K 1-800, Pillow's bicubic LR (not MATLAB's), L1, Adam 1e-4"
    return WeightsFile("port", part, f"rdn_{part}.pth", source, training=training, licence="MIT")


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="rdn",
        summary="RDN super-resolution, 16 residual dense blocks of 8 layers; pair it: bicubic+rdn",
        citation=(
            "Zhang, Tian, Kong, Zhong, Fu, Residual Dense Network for Image Super-Resolution, CVPR 2018, "
            "https://arxiv.org/abs/1802.08797"
        ),
        scales=NativeScales.of(2, 3, 4),
        build=_build,
        halves=frozenset({"up"}),
        parts=scale_part,
        weights=tuple(map(_file, PARAMETERS)),
        initial=_initial,
        parameters=PARAMETERS,
        # Two convolutions before, 8 in each of 16 blocks, one after them; 2 pixels for upsampler and last convolution.
        margin=2 + 16 * 8 + 1 + 2,
        traits=Traits(batches=True, compiles=True),
    )

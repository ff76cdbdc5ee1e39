"""D-DBPN: super-resolution by back-projection, the upscaling half of `bicubic+dbpn`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Rescaler, State, States, Traits, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

if TYPE_CHECKING:
    from .network import Dbpn

PROJECT = "https://github.com/alterzero/DBPN-Pytorch"
CVPR = (
    "Haris, Shakhnarovich, Ukita, Deep Back-Projection Networks for Super-Resolution, CVPR 2018, "
    "https://arxiv.org/abs/1803.02735"
)
JOURNAL = f"{CVPR}; Deep Back-Projection Networks for Single Image Super-Resolution, https://arxiv.org/abs/1904.05677"
TRAINING = "DIV2K, Flickr2K and ImageNet, bicubic LR, L1, Adam 1e-4"


def _file(part: str, file: str, tag: str = "published", training: str = TRAINING) -> WeightsFile:
    source = f"the Google Drive linked in the README of {PROJECT}"
    return WeightsFile(tag, part, file, source, training=training, licence="MIT")


def _method(
    name: str,
    summary: str,
    citation: str,
    stages: int,
    rounds: int,
    margin: int,
    parameters: Mapping[str, int],
    weights: tuple[WeightsFile, ...],
) -> Method:
    def network(scale: int) -> Dbpn:
        from .network import Dbpn

        return Dbpn(scale, stages, rounds)

    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        from rescale_bench.networks.super_resolution import loader, serve_upscalers

        del options
        return serve_upscalers(name, states, loader(name, network, device))

    def initial(part: str, seed: int) -> State:
        from rescale_bench.networks.loading import seeded_tensors

        return State(seeded_tensors(lambda: network(int(part.removeprefix("x"))), seed))

    return Method(
        name=name,
        summary=f"D-DBPN super-resolution, {summary}; pair it: bicubic+{name}",
        citation=citation,
        scales=NativeScales.of(2, 4, 8),
        build=build,
        halves=frozenset({"up"}),
        parts=scale_part,
        weights=weights,
        initial=initial,
        parameters=parameters,
        margin=margin,  # what ×2 sees, the most of the three
        traits=Traits(batches=True, compiles=rounds == 1),  # Pillow enlarges the LR of the other, outside of any graph
    )


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the three variants."""
    scales = ("2", "4", "8")
    yield _method(
        "dbpn", "7 up-projections", CVPR, 7, 1, 41,
        {"x2": 5_953_526, "x4": 10_426_358, "x8": 23_205_878},
        tuple(_file(f"x{scale}", f"DBPN_x{scale}.pth") for scale in scales),
    )  # fmt: skip
    gan = "the same, then tuned with a discriminator for the PIRM 2018 challenge"
    yield _method(
        "dbpnll", "10 up-projections", JOURNAL, 10, 1, 59,
        {"x2": 8_811_086, "x4": 15_348_302, "x8": 34_026_062},
        (*(_file(f"x{scale}", f"DBPNLL_x{scale}.pth") for scale in scales),
         *(_file("x4", f"PIRM2018_region{region}.pth", f"pirm2018-region{region}", gan) for region in (1, 2, 3))),
    )  # fmt: skip
    yield _method(
        "dbpn-res-mr64-3", "the chain of 7 run three times on top of Pillow's bicubic", JOURNAL, 7, 3, 113,
        {"x2": 5_946_614, "x4": 10_419_446, "x8": 23_198_966},
        tuple(_file(f"x{scale}", f"DBPN-RES-MR64-3_{scale}x.pth") for scale in scales),
    )  # fmt: skip

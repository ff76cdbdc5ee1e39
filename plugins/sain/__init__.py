"""SAIN: the self-asymmetric invertible network for rescaling through JPEG or WebP (Yang et al., AAAI 2023)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Option, Rescaler, State, States, Traits, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

PROJECT = "https://github.com/yang-jin-hai/SAIN"
Z = Option(
    "z",
    "learned",
    "latent of the inverse: drawn from the learned mixture, its mean, or zero; learned: as the weights say, or drawn",
    ("learned", "mixture", "mean", "zero"),
)


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build

    return build(states, device, options)


def _margin(states: States, options: Mapping[str, Value]) -> int | None:
    from .rescaler import build_margin

    return build_margin(states, options)


def _initial(part: str, seed: int) -> State:
    from .rescaler import initial

    return initial(part, seed)


def _file(tag: str, part: str, codec: str) -> WeightsFile:
    file = f"SAIN{part}_{codec}.pth"
    source = f"{PROJECT}, experiments/pretrained_models/{file}"
    training = f"DIV2K, {codec} at quality 75, 500k steps, as the paper"
    return WeightsFile(tag, part, file, source, training=training, licence="Apache-2.0")


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="sain",
        summary="invertible network whose last blocks stand for the codec; made for JPEG or WebP",
        citation=(
            "Yang et al., Self-Asymmetric Invertible Network for Compression-Aware Image Rescaling (AAAI 2023), "
            f"{PROJECT}"
        ),
        scales=NativeScales.of(2, 4),
        build=_build,
        options=(Z,),
        parts=scale_part,
        weights=(_file("published", "x2", "JPEG"), _file("published", "x4", "JPEG"),
                 _file("published-webp", "x2", "WebP")),
        shipped=Path(__file__).parent / "weights",
        initial=_initial,
        parameters={"x2": 2_015_485, "x4": 6_494_003},
        codec="jpeg:75",
        traits=Traits(draws=True, batches=True, compiles=True),
        build_margin=_margin,
        training=f"{__name__}.training",
    )  # fmt: skip

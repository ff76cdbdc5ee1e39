"""The invertible rescaling network and its family (Xiao et al., ECCV 2020; IJCV 2022)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Option, Rescaler, State, States, Traits, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales

ECCV = "Xiao et al., Invertible Image Rescaling (ECCV 2020), https://arxiv.org/abs/2005.05650"
IJCV = "Xiao et al., Invertible Rescaling Network and Its Extensions (IJCV 2022), https://arxiv.org/abs/2210.04188"
SOURCE = (
    "the Google Drive or Baidu folder linked in the README of "
    "https://github.com/pkuxmq/Invertible-Image-Rescaling; download {} there"
)
SHIPPED = Path(__file__).parent / "weights"

Z = Option(
    "z",
    "learned",
    "latent of the inverse: drawn from N(0, 1) or zero; learned: as the weights say, or drawn, as the paper",
    ("learned", "gaussian", "zero"),
)
Z_SCALE = Option("z_scale", 1.0, "factor on the drawn latent", low=0.0, high=10.0)
CRM = Option("crm", True, "restore the decoded LR with the compression restore module before the inverse")

PARAMETERS = {"x2": 1_668_000, "x4": 4_355_376, "x8": 11_120_256}


def _build(name: str, states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import builder

    return builder(name)(states, device, options)


def _margin(name: str, states: States, options: Mapping[str, Value]) -> int | None:
    from .rescaler import build_margin

    return build_margin(name, states, options)


def _initial(name: str, part: str, seed: int) -> State:
    from .rescaler import initial

    return initial(name, part, seed)


def _parts_and_restore(scale: Decimal) -> tuple[str, ...]:
    return (f"x{scale}", "crm")


def _separate_parts(scale: Decimal) -> tuple[str, ...]:
    return (f"down-x{scale}", f"up-x{scale}")


def _published(training: str, tag: str = "published", **files: str) -> tuple[WeightsFile, ...]:
    return tuple(WeightsFile(tag, part, file, SOURCE.format(file), training=training) for part, file in files.items())


def _method(name: str, summary: str, scales: NativeScales, parameters: Mapping[str, int]) -> Method:
    return Method(
        name=name,
        summary=summary,
        citation=IJCV,
        scales=scales,
        build=partial(_build, name),
        initial=partial(_initial, name),
        options=(Z, Z_SCALE),
        parts=scale_part,
        shipped=SHIPPED / name,
        parameters=parameters,
        traits=Traits(draws=True, batches=True, compiles=True),
        build_margin=partial(_margin, name),
        training=f"{__name__}.training",
    )


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the methods of the family."""
    from dataclasses import replace

    yield replace(
        _method("irn", "invertible Haar and coupling network", NativeScales.of(2, 4, 8), PARAMETERS),
        citation=ECCV,
        siblings={"3": "irn-ld"},
        weights=_published("DIV2K, 500k steps, as the paper", x2="IRN_x2.pth", x4="IRN_x4.pth", x8="IRN_x8.pth"),
    )
    yield replace(
        _method("irn-plus", "IRN tuned for perception (IRN+)", NativeScales.of(4), {"x4": PARAMETERS["x4"]}),
        citation=ECCV,
        weights=_published("from irn x4 with adversarial and VGG losses, as the paper", x4="IRN+_x4.pth"),
    )
    yield replace(
        _method("irn-ld", "IRN with learnable down-sampling", NativeScales.of(3), {"x3": 3_139_029}),
        weights=_published("DIV2K, 500k steps, as the paper", x3="IRN_x3.pth"),
    )
    yield _method("irn-e", "efficient IRN: both Haar steps first", NativeScales.of(4), {"x4": 5_374_608})
    yield replace(
        _method(
            "irn-du",
            "IRN-D & IRN-U: two networks of IRN's kind, one shrinks, the other enlarges",
            NativeScales.of(4),
            dict.fromkeys(("down-x4", "up-x4"), 2_177_808),
        ),
        parts=_separate_parts,
    )
    yield replace(
        _method("irn-color", "decolorization to 8-bit grey and back", NativeScales.of(1), {"x1": 1_413_601}),
        options=(),
        lr_channels=1,
        # Eight blocks of two dense blocks in sequence, each of five 3×3 convolutions: 8·2·5 pixels on every side.
        margin=80,
        build_margin=None,
        traits=Traits(batches=True, compiles=True),
        weights=_published("DIV2K, as the paper", x1="IRN_color.pth"),
    )
    yield replace(
        _method(
            "irn-jpeg",
            "IRN through JPEG with the compression restore module",
            NativeScales.of(2),
            {"x2": PARAMETERS["x2"], "crm": 5_795_843},
        ),
        options=(Z, Z_SCALE, CRM),
        parts=_parts_and_restore,
        codec="jpeg:90",
        weights=(
            *_published("x2 tuned on noisy LR, CRM on JPEG 90", x2="IRN_x2_finetune.pth", crm="CRM_x2_q90.pth"),
            *_published(
                "the same, tuned for Kodak",
                "published-kodak",
                x2="IRN_x2_finetune_Kodak.pth",
                crm="CRM_x2_q90.pth",
            ),
        ),
    )

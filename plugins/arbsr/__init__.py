"""ArbSR: super-resolution by any factor up to 4, each axis its own (Wang et al., ICCV 2021); AIDN's type II."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Find, Method, MethodRule, Rescaler, State, States, Value, WeightsFile
from rescale_bench.api.scales import NativeScales
from rescale_bench.errors import UnavailableError

PROJECT = "https://github.com/LongguangWang/ArbSR"
FILE = "model_150.pt"
SCALES = NativeScales.between("1", "4")


def _parts(scale: Decimal) -> tuple[str, ...]:
    del scale
    return ("any",)


def _initial(part: str, seed: int) -> State:
    from .layout import ArbRcanLayout
    from .network import initial_arb_rcan

    del part
    return State(initial_arb_rcan(ArbRcanLayout(), seed))


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    from .rescaler import build_arb_rcan

    del options
    return build_arb_rcan(states, device, SCALES)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method."""
    yield Method(
        name="arb-rcan",
        summary="ArbRCAN super-resolution at any scale up to 4, any LR of 2×2 and more; pair it: bicubic+arb-rcan",
        citation=(
            "Wang et al., Learning A Single Network for Scale-Arbitrary Super-Resolution (ICCV 2021), "
            f"{PROJECT}; as AIDN's type II: bicubic+arb-rcan"
        ),
        scales=SCALES,
        build=_build,
        halves=frozenset({"up"}),
        parts=_parts,
        weights=(
            WeightsFile(
                "published",
                "any",
                FILE,
                f"{PROJECT}, experiment/ArbRCAN/model/{FILE}",
                training="from RCAN x4, DIV2K 1-800, scales 1.1 to 4.0 and 30 unequal pairs, 150 epochs",
                licence="MIT",
            ),
        ),
        initial=_initial,
        parameters={"any": 16_926_151},
    )


def _arb_edsr(name: str, find: Find) -> Method | None:
    """Say why there is no ArbEDSR, to whoever asks for it."""
    del find
    if name != "arb-edsr":
        return None
    raise UnavailableError(
        "arb-edsr: neither code nor weights were published, and the 39.2 M parameters that AIDN prints do not tell its "
        "network (ArbRCAN's modules at EDSR's width would make it larger); its numbers are rows of `published`, and "
        "bicubic+arb-rcan is the type II that can be run"
    )


@hookimpl
def rescale_bench_method_rules() -> Iterable[MethodRule]:
    """Yield a name that stands for published numbers alone."""
    yield MethodRule(
        "arb-edsr", "published rows only (AIDN, Table 1): no code, no weights, no determined network", _arb_edsr
    )

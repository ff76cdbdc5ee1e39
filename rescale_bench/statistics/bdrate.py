"""BD-rate and BD-PSNR of two rate-distortion curves (Bjøntegaard, VCEG-M33, 2001), through the package bjontegaard.

Both average the gap between two interpolated curves over what they share: BD-rate the gap of log₁₀(rate) over
quality, BD-PSNR the gap of quality over log₁₀(rate). One number hides where the curves cross and how little of them
overlaps, so both are reported beside it, and there is no number where nothing overlaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from rescale_bench.errors import UndefinedValueError, UsageError

if TYPE_CHECKING:
    import numpy as np

Interpolation = Literal["cubic", "pchip", "akima"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("cubic", "pchip", "akima")
Curve = Sequence[tuple[float, float]]
"""(rate, quality) of each setting, in any order; rates above 0, quality larger for better."""

POINTS = 4
"""A cubic needs four points (VCEG-M33); fewer leave its shape open."""
MUCH_OVERLAP = 0.75
"""Below this share the curves are mostly compared by what is not measured (Herglotz et al., arXiv 2304.12852)."""
SAMPLES = 1_001


@dataclass(frozen=True)
class Delta:
    """How far a test curve lies from an anchor.

    value: percent of rate (BD-rate; negative saves bits) or quality (BD-PSNR; positive is better), None where
    the curves do not overlap. overlap: shared part of the range that both span together, 0 to 1.
    low, high: the shared range, in quality (BD-rate) or rate (BD-PSNR), NaN where there is none.
    crossings: where the interpolated curves change places, in the same unit.
    interpolation: how the curves were drawn between their points.
    """

    value: float | None
    overlap: float
    low: float
    high: float
    crossings: tuple[float, ...]
    interpolation: Interpolation

    @property
    def status(self) -> Literal["ok", "crossing", "little overlap", "no overlap"]:
        """Say in a word whether the number stands alone."""
        if self.value is None:
            return "no overlap"
        if self.overlap < MUCH_OVERLAP:
            return "little overlap"
        return "crossing" if self.crossings else "ok"

    @property
    def remarks(self) -> tuple[str, ...]:
        """Say what a reader must know beside the number, one line each."""
        if self.value is None:
            return ("the curves share no range: there is nothing to average",)
        found = []
        if self.overlap < MUCH_OVERLAP:
            found.append(f"the curves share {self.overlap:.0%} of their range ({self.low:.4g} to {self.high:.4g})")
        if self.crossings:
            places = ", ".join(f"{place:.4g}" for place in self.crossings)
            found.append(f"the curves cross at {places}: which is better depends on where")
        return tuple(found)


def bd_rate(anchor: Curve, test: Curve, interpolation: Interpolation = "akima") -> Delta:
    """Compute the mean change of rate at equal quality, in percent.

    Raises UndefinedValueError where a curve has fewer than four points or its quality does not rise with its rate
    (then rate is no function of quality), UsageError for rates that are not above 0 or values that are not finite.
    """
    first, second = (_checked(curve, name) for curve, name in ((anchor, "anchor"), (test, "test")))
    for curve, name in ((first, "anchor"), (second, "test")):
        for (_, worse), (rate, better) in pairwise(curve):
            if better <= worse:
                raise UndefinedValueError(
                    f"BD-rate: the quality of the {name} curve does not rise at rate {rate:.4g} "
                    f"({worse:.4g} to {better:.4g}); compare by BD-PSNR, or leave that setting out"
                )
    logs = [[(quality, math.log10(rate)) for rate, quality in curve] for curve in (first, second)]
    return _delta(logs[0], logs[1], interpolation, lambda gap: 100 * (10**gap - 1), lambda quality: quality)


def bd_psnr(anchor: Curve, test: Curve, interpolation: Interpolation = "akima") -> Delta:
    """Compute the mean change of quality at equal rate, in the quality's unit. Raises as bd_rate, but for order."""
    logs = [
        [(math.log10(rate), quality) for rate, quality in _checked(curve, name)]
        for curve, name in ((anchor, "anchor"), (test, "test"))
    ]
    return _delta(logs[0], logs[1], interpolation, lambda gap: gap, lambda log: 10**log)


def _checked(curve: Curve, name: str) -> list[tuple[float, float]]:
    for rate, quality in curve:
        if not (math.isfinite(rate) and math.isfinite(quality) and rate > 0):
            raise UsageError(f"BD-rate: the {name} curve holds the point ({rate}, {quality})")
    ordered = sorted(curve)
    if len({rate for rate, _ in ordered}) < len(ordered):
        raise UsageError(f"BD-rate: the {name} curve holds one rate twice")
    if len(ordered) < POINTS:
        raise UndefinedValueError(f"BD-rate: the {name} curve has {len(ordered)} points; four are needed")
    return ordered


def _delta(
    anchor: list[tuple[float, float]],
    test: list[tuple[float, float]],
    interpolation: Interpolation,
    finish: Callable[[float], float],
    unit: Callable[[float], float],
) -> Delta:
    """Average the gap over the shared part of the base; base and value come as (base, value), rising in base."""
    import numpy as np
    from bjontegaard import bd_linear

    if interpolation not in INTERPOLATIONS:
        raise UsageError(f"BD-rate: interpolation {interpolation}; choose from {', '.join(INTERPOLATIONS)}")
    low, high = max(anchor[0][0], test[0][0]), min(anchor[-1][0], test[-1][0])
    whole = max(anchor[-1][0], test[-1][0]) - min(anchor[0][0], test[0][0])
    if high <= low:
        return Delta(None, 0.0, math.nan, math.nan, (), interpolation)
    columns = [np.array(column) for curve in (anchor, test) for column in zip(*curve, strict=True)]
    # min_overlap=0 silences the package's warning: the overlap is reported here.
    gap, first, second = bd_linear(
        *columns, method=interpolation, require_matching_points=False, interpolators=True, min_overlap=0
    )
    places = tuple(unit(place) for place in _crossings(first, second, np.linspace(low, high, SAMPLES)))
    return Delta(finish(float(gap)), (high - low) / whole, unit(low), unit(high), places, interpolation)


def _crossings(first: Any, second: Any, base: np.ndarray) -> list[float]:
    """Find where the difference of two curves changes its sign, to a thousandth of the shared range."""
    import numpy as np

    gaps = second(base) - first(base)
    # Where curves touch or coincide the rounding noise has signs too.
    kept = np.flatnonzero(np.abs(gaps) > 1e-9 * max(float(np.abs(gaps).max()), 1e-9))
    signs = np.sign(gaps[kept])
    turns = np.flatnonzero(signs[1:] != signs[:-1])
    return [float(base[kept[turn]] + base[kept[turn + 1]]) / 2 for turn in turns]

"""Scale factors: exact decimals, ranges of them, and the sizes that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from rescale_bench.errors import UsageError

MAXIMUM = Decimal(64)
DEFAULT_STEP = Decimal("0.1")


def parse_scale(text: str) -> Decimal:
    """Read one scale factor, at least 1, as an exact decimal without trailing zeros.

    Raises UsageError for anything else ("0", "-2", "nan", "two").
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise UsageError(f"'{text.strip()}' is not a number (examples: 2, 2.75, 1.1:4.0)", "scales") from None
    if not value.is_finite() or not 1 <= value <= MAXIMUM:
        raise UsageError(f"{text.strip()} is outside 1 to {MAXIMUM}", "scales")
    return normalise(value)


def normalise(value: Decimal) -> Decimal:
    """Drop trailing zeros without switching to exponent notation (4.0 → 4, 10 → 10)."""
    value = value.normalize()
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value


def parse_scales(text: str) -> tuple[Decimal, ...]:
    """Read a list such as "2,3,4", "1.1:4.0", "1.5:2.5:0.25" or a mixture; sorted, without repeats.

    A range is inclusive; its step is 0.1 unless a third part gives it.
    Raises UsageError naming the part that cannot be read.
    """
    found: set[Decimal] = set()
    for part in text.split(","):
        if not part.strip():
            raise UsageError(f"empty entry in '{text}'", "scales")
        found.update(_range(part) if ":" in part else [parse_scale(part)])
    return tuple(sorted(found))


def _range(part: str) -> list[Decimal]:
    ends = part.split(":")
    if len(ends) not in (2, 3):
        raise UsageError(f"'{part}' is not first:last or first:last:step", "scales")
    first, last = parse_scale(ends[0]), parse_scale(ends[1])
    try:
        step = Decimal(ends[2].strip()) if len(ends) == 3 else DEFAULT_STEP
    except InvalidOperation:
        raise UsageError(f"the step of '{part}' is not a number", "scales") from None
    if not step.is_finite() or step <= 0:
        raise UsageError(f"the step of '{part}' must be above 0", "scales")
    if last < first:
        raise UsageError(f"'{part}' runs backwards; write {ends[1]}:{ends[0]}", "scales")
    if (last - first) >= 10_000 * step:  # not divided: a step of 1e-999999 would overflow
        raise UsageError(f"'{part}' has more than 10000 steps", "scales")
    count = int((last - first) / step) + 1
    return [normalise(first + index * step) for index in range(count)]


def exact(scale: Decimal | float | str) -> Decimal:
    """Turn a scale into its shortest exact decimal (the float 1.1 becomes Decimal("1.1"))."""
    return normalise(scale if isinstance(scale, Decimal) else Decimal(str(scale)))


def lr_side(side: int, scale: Decimal | float) -> int:
    """Compute ceil(side / scale) exactly (design, section 3 "Sizes")."""
    return math.ceil(Fraction(side) / Fraction(exact(scale)))


def lr_size(size: tuple[int, int], scale: Decimal | float) -> tuple[int, int]:
    """Compute the LR (height, width) of an HR (height, width)."""
    return lr_side(size[0], scale), lr_side(size[1], scale)


def is_integer(scale: Decimal | float) -> bool:
    """Tell whether a scale is a whole number."""
    value = exact(scale)
    return value == value.to_integral_value()


@dataclass(frozen=True)
class NativeScales:
    """The scales a method serves by itself: a finite set, or an interval (low, high]."""

    values: frozenset[Decimal] | None = None
    """The set; None where the interval counts."""

    low: Decimal = Decimal(1)
    """The interval's lower end, itself excluded."""

    high: Decimal = MAXIMUM
    """The interval's upper end, included."""

    @classmethod
    def of(cls, *values: int | str) -> NativeScales:
        """Build a finite set: NativeScales.of(2, 4)."""
        return cls(frozenset(exact(Decimal(str(value))) for value in values))

    @classmethod
    def between(cls, low: str, high: str) -> NativeScales:
        """Build an interval (low, high]: NativeScales.between("1", "4")."""
        return cls(None, exact(low), exact(high))

    def __contains__(self, scale: object) -> bool:
        """Tell whether a scale is served natively."""
        if not isinstance(scale, (Decimal, float, int)):
            return False
        value = exact(scale)
        return self.low < value <= self.high if self.values is None else value in self.values

    def __str__(self) -> str:
        """Print as "{2, 4}" or "(1, 4]"."""
        if self.values is None:
            return f"({self.low}, {self.high}]"
        return "{" + ", ".join(str(value) for value in sorted(self.values)) + "}"

    def __and__(self, other: NativeScales) -> NativeScales:
        """Keep the scales that both serve."""
        if self.values is not None:
            return NativeScales(frozenset(value for value in self.values if value in other))
        if other.values is not None:
            return other & self
        return NativeScales(None, max(self.low, other.low), min(self.high, other.high))

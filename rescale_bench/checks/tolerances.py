"""How much worse a cell may be before it counts as a regression."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rescale_bench.errors import UnknownNameError, UsageError


@dataclass(frozen=True)
class Tolerance:
    """An allowed worsening: absolute in the metric's unit, or as a part of the baseline's value."""

    amount: float
    relative: bool = False

    def allowed(self, baseline: float) -> float:
        """Compute the allowed worsening for one baseline value; infinite values allow none."""
        if not self.relative:
            return self.amount
        return self.amount * abs(baseline) if math.isfinite(baseline) else 0.0

    def __str__(self) -> str:
        """Print as "0.01" or "0.1%"."""
        return f"{self.amount * 100:g}%" if self.relative else f"{self.amount:g}"


Given = Mapping[str, float | Tolerance]

DEFAULTS = (
    ("psnr_*", Tolerance(0.01)),
    ("ssim_*", Tolerance(1e-4)),
    ("lpips_*", Tolerance(1e-3)),
    ("niqe_*", Tolerance(0.01)),
    ("piqe_*", Tolerance(0.1)),
    ("params", Tolerance(0.0)),
)
"""Per family, by the first pattern that fits: the digits in which tables are printed, and about what another
processor or library version moves. Everything else, bitrates and counts of work among them, may worsen by 0.1 %.
PIQE is wide because it counts whole 16×16 blocks against thresholds."""
OTHERWISE = Tolerance(1e-3, relative=True)


def tolerance_of(metric: str, given: Given) -> Tolerance:
    """Choose a metric's tolerance: named in full, by its name without options, by its family, 0.1 % otherwise."""
    base = metric.partition(":")[0]
    for name in (metric, base):
        if name in given:
            found = given[name]
            return found if isinstance(found, Tolerance) else Tolerance(float(found))
    return next((one for pattern, one in DEFAULTS if fnmatch.fnmatchcase(base, pattern)), OTHERWISE)


def parse_tolerances(text: str) -> dict[str, Tolerance]:
    """Read "psnr_y=0.01,ssim_y=0.0001,bpp_png=0.1%".

    A metric's own options may stand in its name ("piqe_lr:channels=bgr=0.1").
    Raises UsageError for anything that is not metric=number with a finite number of at least 0.
    """
    found: dict[str, Tolerance] = {}
    for entry in _entries(text):
        name, equals, amount = (part.strip() for part in entry.rpartition("="))
        if not equals or not name:
            raise UsageError(f"--tolerance: '{entry}' is not metric=number (example: psnr_y=0.01)")
        if name in found:
            raise UsageError(f"--tolerance: {name} is given twice")
        found[name] = _amount(name, amount)
    return found


def _amount(name: str, text: str) -> Tolerance:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"--tolerance: {name}={text}: '{text}' is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"--tolerance: {name}={text}; give a finite number of at least 0")
    return Tolerance(value / 100, relative=True) if text.endswith("%") else Tolerance(value)


def _entries(text: str) -> list[str]:
    """Split at commas, but not between the options of one metric: "bpp_jpeg:quality=90,subsampling=444=0.1"."""
    entries: list[str] = []
    for piece in text.split(","):
        if not piece.strip():
            raise UsageError(f"--tolerance: empty entry in '{text}'")
        if entries and _unfinished(entries[-1]):
            entries[-1] += "," + piece.strip()
        else:
            entries.append(piece.strip())
    return entries


def _unfinished(entry: str) -> bool:
    name, colon, options = entry.partition(":")
    return bool(colon) and "=" not in name and options.rpartition(",")[2].count("=") < 2


def check_names(given: Given, known: Iterable[str]) -> None:
    """Refuse a tolerance for a metric that neither run holds, which is a misspelling. Raises UnknownNameError."""
    names = set(known)
    for name in given:
        if name not in names | {one.partition(":")[0] for one in names}:
            raise UnknownNameError("metric in --tolerance", name, names)

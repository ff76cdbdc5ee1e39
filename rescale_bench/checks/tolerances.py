"""How much worse a number may become before it counts as a regression."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rescale_bench.api.metrics import Tolerance
from rescale_bench.errors import UnknownNameError, UsageError

Given = Mapping[str, float | Tolerance]


def tolerance_of(metric: str, given: Given, otherwise: str) -> Tolerance:
    """Choose a metric's tolerance: as given for it in full or by its name without options, otherwise the text's.

    otherwise: what the run says of the metric ("0.01", "0.1%"). Raises UsageError for a text that cannot be read.
    """
    for name in (metric, metric.partition(":")[0]):
        if name in given:
            found = given[name]
            return found if isinstance(found, Tolerance) else Tolerance(float(found))
    try:
        return Tolerance.parse(otherwise)
    except UsageError as error:
        raise UsageError(f"the run's tolerance of {metric}: {error}; give one for it") from None


def parse_tolerances(text: str) -> dict[str, Tolerance]:
    """Read "psnr_y=0.01,ssim_y=0.0001,bpp_png=0.1%".

    A metric's own options may stand in its name ("piqe_lr:channels=bgr=0.1").
    Raises UsageError for anything that is not metric=number with a finite number of at least 0.
    """
    found: dict[str, Tolerance] = {}
    for entry in _entries(text):
        name, equals, amount = (part.strip() for part in entry.rpartition("="))
        if not equals or not name:
            raise UsageError(f"'{entry}' is not metric=number (example: psnr_y=0.01)", "tolerance")
        if name in found:
            raise UsageError(f"{name} is given twice", "tolerance")
        try:
            found[name] = Tolerance.parse(amount)
        except UsageError as error:
            raise UsageError(f"{name}={amount}: {error}", "tolerance") from None
    return found


def _entries(text: str) -> list[str]:
    """Split at commas, but not between the options of one metric: "bpp_jpeg:quality=90,subsampling=444=0.1"."""
    entries: list[str] = []
    for piece in text.split(","):
        if not piece.strip():
            raise UsageError(f"empty entry in '{text}'", "tolerance")
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

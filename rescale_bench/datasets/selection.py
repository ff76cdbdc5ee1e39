"""From a text of the command line (`Set5`, `Set5@mod12`, `./folder`) to a data set."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from rescale_bench.api.records import Dataset
from rescale_bench.datasets.listing import folder_dataset, user_path
from rescale_bench.errors import UnknownNameError, UsageError

MAX_CROP = 1024


def split_variant(name: str) -> tuple[str, int | None]:
    """Split "Set5@mod12" into ("Set5", 12), and "Set5" into ("Set5", None).

    Raises UsageError for any other text after an @, and for a number outside 2 to 1024.
    """
    base, at, variant = name.rpartition("@")
    if not at:
        return name, None
    match = re.fullmatch(r"mod([0-9]{1,9})", variant)
    if not base or not match:
        raise UsageError(f"'{name}' is not NAME@modN (example: Set5@mod12)", "datasets")
    crop = int(match[1])
    if not 2 <= crop <= MAX_CROP:
        raise UsageError(f"'{name}' crops to multiples of {crop}; give a number from 2 to {MAX_CROP}", "datasets")
    if "@" in base and not _looks_like_path(base):
        raise UsageError(f"'{name}' has more than one @", "datasets")
    return base, crop


def without_variant(dataset: str) -> str:
    """Name a data set without its variant ("Set5@mod8" is Set5); any other text, as of a stranger's rows, stays."""
    try:
        return split_variant(dataset)[0]
    except UsageError:
        return dataset


def modcrop_variant(dataset: Dataset, n: int) -> Dataset:
    """Rename a data set to its variant cropped to multiples of n ("Set5@mod12"); the runner crops."""
    return dataclasses.replace(
        dataset,
        name=f"{dataset.name}@mod{n}",
        summary=f"{dataset.summary}; HR cropped to multiples of {n}",
    )


def find_dataset(text: str, registered: Mapping[str, Dataset]) -> tuple[Dataset, int]:
    """Resolve a name (case aside) or a folder, and the number to whose multiples HR is cropped (1: not).

    A registered name wins over a folder of that name in the working directory (write ./Set5 for that).
    Raises UnknownNameError with the nearest names, and UsageError for bad variants and missing folders.
    """
    text = text.strip()
    if not text:
        raise UsageError("empty name", "datasets")
    if "@" in text and _exists(user_path(text), Path.is_dir):  # a folder whose own name holds an @
        return folder_dataset(text), 1
    base, crop = split_variant(text)
    dataset = _resolve(base, registered)
    return (dataset, 1) if crop is None else (modcrop_variant(dataset, crop), crop)


def _resolve(base: str, registered: Mapping[str, Dataset]) -> Dataset:
    if base in registered:
        return registered[base]
    alike = [dataset for name, dataset in registered.items() if name.lower() == base.lower()]
    if len(alike) == 1:
        return alike[0]
    if _looks_like_path(base) or _exists(Path(base), Path.exists):
        return folder_dataset(base)
    raise UnknownNameError("dataset", base, registered)


def _exists(path: Path, test: Callable[[Path], bool]) -> bool:
    """Test a path; a text that no file system takes as one (too long, say) names nothing."""
    try:
        return test(path)
    except OSError:
        return False


def _looks_like_path(text: str) -> bool:
    separators = {os.sep, os.altsep or os.sep}
    return any(separator in text for separator in separators) or text.startswith("~") or text in (".", "..")

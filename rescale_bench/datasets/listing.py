"""The images of a folder, and a folder as a data set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rescale_bench.api.records import Dataset, ImageFile
from rescale_bench.errors import UsageError
from rescale_bench.machine.printable import file_name

EXTENSIONS = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"})


def image_paths(folder: Path) -> list[Path]:
    """List a folder's image files by extension, naturally sorted (img2 before img10); not its sub-folders.

    What a file holds is not looked at: one that cannot be read becomes a failed row later.
    Raises OSError where the folder cannot be listed.
    """
    found = [
        entry
        for entry in folder.iterdir()
        if entry.suffix.lower() in EXTENSIONS and not entry.name.startswith(".") and not entry.is_dir()
    ]
    return sorted(found, key=lambda path: natural(path.name))


def natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Make a sorting key in which runs of digits count as numbers and case decides last."""
    runs = re.findall(r"[0-9]+|[^0-9]+", text.lower())
    return [(0, int(run), "") if run[0].isdecimal() else (1, 0, run) for run in runs], text


def named(paths: Sequence[Path]) -> list[ImageFile]:
    """Name files by their stems, and by their full names where two stems are equal."""
    stems = Counter(path.stem for path in paths)
    return [ImageFile(file_name(path.stem if stems[path.stem] == 1 else path.name), path) for path in paths]


def user_path(text: str | Path) -> Path:
    """Resolve a leading ~. Raises UsageError for the home of somebody who does not exist here."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{text}: there is no such home folder", "datasets") from None


def folder_dataset(path: str | Path) -> Dataset:
    """Take a folder of images as a data set named after the folder.

    Raises UsageError where the folder is missing, a file, unreadable or without images.
    """
    folder = user_path(path)
    count = len(_list(folder))
    return Dataset(
        name=file_name(folder.resolve().name) or "root",
        summary=f"the folder {folder}",
        citation="",
        licence="",
        count=count,
        images=lambda: named(_list(folder)),
    )


def _list(folder: Path) -> list[Path]:
    try:
        if not folder.exists():
            raise UsageError(f"no folder {folder}", "datasets")
        if not folder.is_dir():
            raise UsageError(f"{folder} is a file; give the folder that holds the images", "datasets")
        paths = image_paths(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror})", "datasets") from None
    if not paths:
        raise UsageError(
            f"no images in {folder} ({', '.join(sorted(EXTENSIONS))}; sub-folders do not count)", "datasets"
        )
    return paths

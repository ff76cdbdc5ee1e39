"""Set5, Set14, BSD100, Urban100, DIV2K-val and Kodak24: where they may lie on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescale_bench.api.records import ImageFile
from rescale_bench.datasets.listing import image_paths, named
from rescale_bench.errors import UnavailableError
from rescale_bench.weights.downloads import cache_folder

DATA_VARIABLE = "RESCALE_BENCH_DATA"
INNER = ("", "HR", "original", "GT", "image_SRF_2", "image_SRF_3", "image_SRF_4")
"""Sub-folders that hold the HR images in common packings, the least cropped first."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Where a data set comes from.

    page: for people. files: image name → https URL of single pictures whose pixels are pinned.
    archive, archive_url: an archive whose checksum we do not know; a person fetches it, `prepare` unpacks it.
    """

    page: str
    files: tuple[tuple[str, str], ...] = ()
    archive: str = ""
    archive_url: str = ""


@dataclass(frozen=True, kw_only=True)
class Research:
    """One research data set.

    name: as on the command line. folders: common spellings below a data folder, case aside; the first
    is where `prepare` puts it. count: how many images it has. home: its public source.
    summary, citation, licence: as in Dataset. shareable: whether everybody may publish its images.
    """

    name: str
    folders: tuple[str, ...]
    count: int
    home: Home
    summary: str
    citation: str
    licence: str
    shareable: bool = False


def data_folders() -> list[Path]:
    """List the folders that are searched: those of RESCALE_BENCH_DATA, then the cache's."""
    given = [part.strip() for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep)]
    return [*(Path(part).expanduser() for part in given if part), cache_folder() / "datasets"]


def locate(research: Research) -> Sequence[ImageFile]:
    """Find the images of a research set: the first folder that holds the right number of them.

    Raises UnavailableError saying how to get the set, or which folder holds another number of images.
    """
    partial: list[tuple[Path, int]] = []
    for folder in _candidates(research):
        paths = high_resolution(folder)
        if len(paths) == research.count:
            return _named(paths)
        if paths:
            partial.append((folder, len(paths)))
    prepare = f"run `rescale-bench prepare --datasets {research.name}`"
    if partial:
        folder, count = partial[0]
        raise UnavailableError(
            f"{research.name}: {count} images in {folder}, expected {research.count}; complete it, {prepare}, "
            "or give that folder itself to -d"
        )
    looked = ", ".join(map(str, data_folders()))
    raise UnavailableError(
        f"{research.name} is not on this machine: set {DATA_VARIABLE} to the folder that holds "
        f"{research.folders[0]}, or {prepare} (looked in {looked})"
    )


def _candidates(research: Research) -> Iterator[Path]:
    for root in data_folders():
        for spelling in research.folders:
            for folder in _descend(root, spelling.split("/")):
                for inner in INNER:
                    yield from _descend(folder, [inner] if inner else [])


def _descend(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Yield the folders reached by parts, compared without regard to case."""
    if not parts:
        yield folder
        return
    for child in _subfolders(folder):
        if child.name.lower() == parts[0].lower():
            yield from _descend(child, parts[1:])


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if child.is_dir())
    except OSError:
        return []


def high_resolution(folder: Path) -> list[Path]:
    """List a folder's HR images: all, or only those named …_HR where some are (SRF folders mix HR and LR)."""
    try:
        paths = image_paths(folder)
    except OSError:
        return []
    marked = [path for path in paths if path.stem.lower().endswith("_hr")]
    return marked or paths


def _named(paths: Sequence[Path]) -> list[ImageFile]:
    """Name the images, without the _SRF_2_HR of SRF folders where that leaves the names distinct."""
    short = [re.sub(r"(?i)(_SRF_\d+)?_HR$", "", path.stem) for path in paths]
    if len(set(short)) < len(paths) or "" in short:
        return named(paths)
    return [ImageFile(name, path) for name, path in zip(short, paths, strict=True)]

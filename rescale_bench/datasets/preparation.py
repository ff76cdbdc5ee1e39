"""Bring a research set into the cache: picture by picture, from a given archive, or by instructions."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path

from rescale_bench.datasets.research import Research, locate
from rescale_bench.errors import ImageError, UnavailableError
from rescale_bench.weights.downloads import cache_folder, extract, fetch

Report = Callable[[str], None]


def prepare(research: Research, report: Report) -> None:
    """Make a research set available and report its place and how many images have the pinned pixels.

    Nothing is taken from the network that cannot be verified: single pictures are checked by their decoded
    pixels; an archive whose checksum nobody gave us is left to the user. Raises UnavailableError with
    the URL and the folder to use where a person has to act, or where the network fails.
    """
    try:
        return _report_found(research, report)
    except UnavailableError as missing:
        home, archive = research.home, cache_folder() / "downloads" / (research.home.archive or "none")
        if home.files:
            _fetch_pictures(research, report)
        elif home.archive and archive.is_file():
            folder = cache_folder() / "datasets" / research.folders[0].split("/")[0]
            report(f"{research.name}: unpacking {archive}")
            extract(archive, folder)
        else:
            raise UnavailableError(f"{missing}. {_instructions(research, archive)}") from None
    _report_found(research, report)


def target_folder(research: Research) -> Path:
    """Say where in the cache a research set belongs."""
    return cache_folder().joinpath("datasets", research.folders[0])


def _report_found(research: Research, report: Report) -> None:
    files = locate(research)
    known = pinned(research.name)
    line = f"{research.name}: {len(files)} images in {files[0].path.parent}"
    if known:
        line += f"; {count_known(research.name, [file.path for file in files])} of them have our pinned pixels"
    report(line)


def _instructions(research: Research, archive: Path) -> str:
    if research.home.archive:
        return (
            "We know no checksum of its archive, so it is not fetched unseen: "
            f"save {research.home.archive_url} as {archive} and run this command again"
        )
    return (
        "It has no home with single pictures that we could verify: "
        f"download it from {research.home.page} and put its {research.count} HR images into {target_folder(research)}"
    )


def _fetch_pictures(research: Research, report: Report) -> None:
    known, folder = pinned(research.name), target_folder(research)
    for number, (name, url) in enumerate(research.home.files, start=1):
        target = folder / f"{name}{Path(url).suffix}"
        if _has_pixels(target, known[name]):
            continue
        report(f"{research.name}: {number} of {len(research.home.files)}, {url}")
        fetch(url, _acceptor(url, known[name]), target)


def _has_pixels(path: Path, expected: str) -> bool:
    try:
        return path.exists() and hash_of(path) == expected
    except ImageError:
        return False


def _acceptor(url: str, expected: str) -> Callable[[Path], None]:
    def accept(path: Path) -> None:
        try:
            found = hash_of(path)
        except ImageError as error:
            raise UnavailableError(f"{url} gave no usable image: {error}") from None
        if found != expected:
            raise UnavailableError(f"{url}: the pixels are not the pinned ones (hash {found}, expected {expected})")

    return accept


# --- pinned pixels ---------------------------------------------------------------
# `pixels.csv` holds the SHA-256 of every decoded image of the research sets that we have measured
# (images.files.pixel_hash; Set14 cropped to even sizes, BSD100 uncropped 481×321). Decoded pixels are the same however
# a mirror packed or named the file; archives' checksums are not.


def pinned(dataset: str) -> dict[str, str]:
    """Read the pinned hashes of a data set: image name → hash; empty where we have none."""
    text = resources.files("rescale_bench.datasets").joinpath("pixels.csv").read_text("ascii")
    return {row["image"]: row["sha256"] for row in csv.DictReader(text.splitlines()) if row["dataset"] == dataset}


def hash_of(path: Path) -> str:
    """Compute the pixel hash of an image file. Raises ImageError."""
    from rescale_bench.images.files import read_image

    return read_image(path).pixel_sha256


def count_known(dataset: str, paths: Iterable[Path]) -> int:
    """Count the files whose pixels are pinned for this data set, whatever their names."""
    known, count = set(pinned(dataset).values()), 0
    for path in paths:
        try:
            count += hash_of(path) in known
        except ImageError:
            continue
    return count

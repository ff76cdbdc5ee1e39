"""Which file of a folder belongs to which HR image, by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescale_bench.api.records import ImageFile
from rescale_bench.datasets.listing import image_paths, user_path
from rescale_bench.errors import UsageError
from rescale_bench.machine.writing import reason

FIELD = "{name}"
"""What stands for the name of the HR image in a template: "out/{name}_x4_SR.png"."""


@dataclass(frozen=True)
class Pairs:
    """What was found: the file of each image by its name, and the files of the folder that belong to none."""

    files: dict[str, Path]
    unused: tuple[Path, ...] = ()


def find_pairs(images: Sequence[ImageFile], place: str, words: Iterable[str], about: str) -> Pairs:
    """Find the file that belongs to each HR image; images without one are absent from the answer.

    place: a folder, or a template that holds {name}. words: endings that say nothing of the image, beside those that
    everybody uses: the scale ("4"), the method's name.
    Raises UsageError, about the setting, for a folder that cannot be read and where two files fit one image.
    """
    if FIELD in place:
        files = {image.name: user_path(place.replace(FIELD, image.name)) for image in images}
        return Pairs({name: path for name, path in files.items() if path.is_file()})
    folder = user_path(place)
    try:
        paths = image_paths(folder)
    except OSError as error:
        hint = f"give a folder, or a template such as {folder}/{FIELD}_SR.png"
        raise UsageError(f"{folder} cannot be listed ({reason(error)}); {hint}", about) from None
    ending = _ending(words)
    found = {image.name: path for image in images if (path := _partner(image.name, paths, ending, about))}
    taken: dict[Path, str] = {}
    for name, path in found.items():
        if other := taken.get(path):
            raise UsageError(f"{path} fits two HR images, {other} and {name}; use a template ({FIELD}_SR.png)", about)
        taken[path] = name
    return Pairs(found, tuple(path for path in paths if path not in taken))


def _partner(name: str, paths: Sequence[Path], ending: re.Pattern[str], about: str) -> Path | None:
    """Find the file of one image: its own name first, then its name without endings."""
    exact = [path for path in paths if path.stem == name]
    alike = exact or [path for path in paths if ending.sub("", path.stem) == ending.sub("", name)]
    if len(alike) > 1:
        names = " and ".join(path.name for path in alike[:2])
        raise UsageError(
            f"two files of {alike[0].parent} fit the HR image {name}: {names}; use a template ({FIELD}_SR.png)", about
        )
    return alike[0] if alike else None


def _ending(words: Iterable[str]) -> re.Pattern[str]:
    """Match all endings of a stem that name no image: "_x4", "_SR", "_SRF_4_HR", "x4", "-theirs"."""
    scale, *others = words
    number = re.escape(scale)
    usual = [rf"x{number}", rf"{number}x", rf"SRF_?{number}", "HR", "SR", "LR", "GT", "out", *map(re.escape, others)]
    # "babyx4" is usual too; every other ending stands behind a sign.
    return re.compile(rf"(?:(?<=.)[ ._-]+(?:{'|'.join(usual)})|(?<=.)x{number})+$", re.IGNORECASE)

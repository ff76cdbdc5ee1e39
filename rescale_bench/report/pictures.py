"""The pictures of one image, encoded for the page: thumbnail, worst crops, whole pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import ImageError
from rescale_bench.report.budget import WHOLE_QUALITY, Ledger, Level
from rescale_bench.report.crops import (
    THUMB_QUALITY,
    Box,
    data_uri,
    enlarged,
    read_pixels,
    reduced,
    squared_error,
    worst_box,
)
from rescale_bench.report.subjects import OutputGroup, PictureSubject

if TYPE_CHECKING:
    import numpy as np

MARKUP_BYTES = 1_500
"""What an image costs beside its pictures: a line of the list, its names."""


@dataclass(frozen=True)
class Shot:
    """One picture that can be chosen. kind: "hr", "lr" or "sr"."""

    name: str
    kind: str
    scores: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Pixels:
    """One setting with its pixels in HR size (the LR enlarged by repetition), and where the error lies."""

    title: str
    shots: tuple[Shot, ...]
    error: np.ndarray


@dataclass
class Album:
    """One image as the page holds it.

    thumb: data URI or "". data: for the viewer, None where only the thumbnail fits. notes: what was left out and why.
    """

    dataset: str
    image: str
    size: str
    thumb: str = ""
    data: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Count the bytes in the page."""
        return MARKUP_BYTES + len(self.thumb) + (len(json.dumps(self.data)) if self.data else 0)


class _TooLargeError(Exception):
    """Encoding went over its limit."""


class _Blobs:
    """Data URIs of one image, each held once."""

    def __init__(self, limit: int) -> None:
        self.index: dict[str, int] = {}
        self.left = limit

    def add(self, uri: str) -> int:
        if uri not in self.index:
            self.left -= len(uri)
            if self.left < 0:
                raise _TooLargeError
            self.index[uri] = len(self.index)
        return self.index[uri]


def album(subject: PictureSubject, ledger: Ledger) -> Album:
    """Encode one image at the level of detail that the budget leaves."""
    notes: list[str] = []
    loaded = [found for found in (_load(setting, notes) for setting in subject.settings) if found]
    if not loaded:
        ledger.fit(lambda level, limit: b"", len)
        return Album(subject.dataset, subject.image, "", notes=notes)

    def encode(level: Level, limit: int) -> Album | None:
        try:
            return _encode(subject, loaded, level, limit - MARKUP_BYTES)
        except _TooLargeError:
            return None

    found = ledger.fit(encode, lambda made: made.bytes)
    found = found or Album(subject.dataset, subject.image, _size(loaded[0]))
    found.notes = notes + found.notes
    return found


def _load(setting: OutputGroup, notes: list[str]) -> Pixels | None:
    """Read the pixels of a setting; what cannot be read or does not fit the others is left out with a note."""
    hr: np.ndarray | None = None
    restored: list[Shot] = []
    low: list[Shot] = []
    for output in setting.outputs:
        try:
            pixels = {part: read_pixels(path) for part, path in output.files.items()}
        except ImageError as problem:
            notes.append(str(problem))
            continue
        hr = pixels["hr"] if hr is None else hr
        if not pixels["sr"].shape == hr.shape == pixels["hr"].shape:
            notes.append(f"{setting.title} {output.label}: its pictures have another size than the others'")
            continue
        restored.append(Shot(output.label, "sr", output.scores, pixels["sr"]))
        height, width = pixels["lr"].shape[:2]
        low.append(Shot(f"LR of {output.label}", "lr", f"{width}×{height} px", enlarged(pixels["lr"], hr.shape[:2])))
    if hr is None or not restored:
        return None
    error = squared_error(hr, (shot.pixels for shot in restored))
    return Pixels(setting.title, (Shot("HR", "hr", "the original", hr), *restored, *low), error)


def _size(loaded: Pixels) -> str:
    height, width = loaded.error.shape
    return f"{width}×{height} px"


def _encode(subject: PictureSubject, loaded: Sequence[Pixels], level: Level, limit: int) -> Album:
    first = loaded[0].shots[0].pixels
    made = Album(subject.dataset, subject.image, _size(loaded[0]))
    if level.thumb:
        made.thumb = data_uri(reduced(first, level.thumb), THUMB_QUALITY)
        limit -= len(made.thumb)
    if not level.crop:
        made.notes.append("only a thumbnail of this image fits into the page; raise --budget or choose fewer images")
        return made
    blobs = _Blobs(limit)
    kept = _spread(loaded, level.settings)
    settings = [_setting(one, level, blobs, made.notes) for one in kept]
    if len(kept) < len(loaded):
        made.notes.append(f"{len(kept)} of {len(loaded)} scales fit into the page")
    made.data = {
        "settings": settings,
        "blobs": list(blobs.index),
        "storing": level.storing,
        "whole": level.whole_storing,
    }
    return made


def _spread(items: Sequence[Pixels], most: int) -> list[Pixels]:
    """Keep at most so many, evenly over the list, with the last (the hardest scale) among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[-1]]
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def _setting(loaded: Pixels, level: Level, blobs: _Blobs, notes: list[str]) -> dict[str, Any]:
    box = worst_box(loaded.error, level.crop)
    restored = [shot for shot in loaded.shots if shot.kind == "sr"]
    low = [shot for shot in loaded.shots if shot.kind == "lr"]
    if len(restored) > level.methods:
        notes.append(f"{loaded.title}: {level.methods} of {len(restored)} methods fit into the page")
    if not level.every_lr and len(low) > 1:
        notes.append(f"{loaded.title}: the LR of {restored[0].name} alone fits into the page")
    shots = [loaded.shots[0], *restored[: level.methods], *low[: level.methods if level.every_lr else 1]]
    height, width = loaded.error.shape
    return {
        "title": loaded.title,
        "size": [width, height],
        "box": [box.left, box.top, box.width, box.height],
        "pictures": [_picture(shot, box, level, blobs) for shot in shots],
    }


def _picture(shot: Shot, box: Box, level: Level, blobs: _Blobs) -> dict[str, Any]:
    whole = blobs.add(data_uri(reduced(shot.pixels, level.whole), WHOLE_QUALITY)) if level.whole else None
    crop = blobs.add(data_uri(box.of(shot.pixels), level.quality))
    return {"name": shot.name, "kind": shot.kind, "scores": shot.scores, "crop": crop, "whole": whole}

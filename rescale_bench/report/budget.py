"""Keep the page small: how much of every picture is carried, decided by the bytes that are left.

Each image gets an equal share of what is left, and the best level of detail whose real encoded size fits it;
what an easy image does not use goes to those after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

WHOLE_QUALITY = 86
PAGE_BYTES = 30_000_000
"""A page about 100 images stays below this."""
Encoded = TypeVar("Encoded")


@dataclass(frozen=True)
class Level:
    """How one image is carried.

    whole: longest side of whole pictures in pixels (0: none), as lossy WebP. crop: side of the worst crop (0: none).
    quality: of the crop's WebP, 0 for lossless. settings: scales (and protocols) at most. methods: at most.
    every_lr: the LR of each method, else of the first one alone. thumb: longest side of the thumbnail (0: none).
    """

    whole: int = 0
    crop: int = 96
    quality: int = 0
    settings: int = 1_000
    methods: int = 1_000
    every_lr: bool = True
    thumb: int = 144

    @property
    def storing(self) -> str:
        """Say how crops were stored."""
        return f"as lossy WebP, quality {self.quality}" if self.quality else "without loss"

    @property
    def whole_storing(self) -> str:
        """Say how whole pictures were stored."""
        return f"as lossy WebP, quality {WHOLE_QUALITY}, at most {self.whole} px a side" if self.whole else ""


LEVELS = (
    Level(whole=640),
    Level(),
    Level(every_lr=False),
    Level(quality=92),
    Level(quality=88, every_lr=False),
    Level(quality=80, crop=64, every_lr=False, thumb=112),
    Level(quality=80, crop=64, every_lr=False, settings=3, methods=8, thumb=112),
    Level(quality=80, crop=64, every_lr=False, settings=1, methods=6, thumb=96),
    Level(crop=0, thumb=96),
    Level(crop=0, thumb=48),
    Level(crop=0, thumb=0),
)
"""From everything to nothing."""


class Ledger:
    """The bytes that are left, shared among the images that are still to come."""

    def __init__(self, total: int, images: int) -> None:
        """Start with total bytes for a number of images."""
        self.left, self.images = max(0, total), images
        self._start = 0

    @property
    def share(self) -> int:
        """Bytes that the next image may take."""
        return self.left // max(1, self.images)

    def fit(self, encode: Callable[[Level, int], Encoded | None], size: Callable[[Encoded], int]) -> Encoded | None:
        """Encode one image at the best level that fits its share, and book it.

        encode: (level, limit) → the image at that level, or None as soon as it is known to exceed the limit.
        size: bytes in the page. Returns None where even the last level does not fit.
        """
        share = self.share
        self.images -= 1
        # Levels far above what the image before could have are not worth their encoding time.
        for index in range(max(0, self._start - 1), len(LEVELS)):
            found = encode(LEVELS[index], share)
            if found is not None and size(found) <= share:
                self._start = index
                self.left -= size(found)
                return found
        return None

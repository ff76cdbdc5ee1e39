"""Training images in memory, decoded once, and the crops that a step takes from them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rescale_bench.api.scales import lr_side
from rescale_bench.datasets.listing import EXTENSIONS, natural
from rescale_bench.errors import ImageError, UsageError
from rescale_bench.images.files import read_image

if TYPE_CHECKING:
    import torch

    from rescale_bench.training.learner import Batch
    from rescale_bench.training.recipe import Recipe

HELD_OUT = 4
HELD_OUT_SIDE = 192
"""Sides of the validation crops: a multiple of 2, 3, 4, 8 and of CAR's 8."""


@dataclass(frozen=True)
class Pool:
    """The images of a training.

    images: uint8 (H, W, 3), to cut crops from. held_out: uint8 crops of other images, for validation.
    folders: for the metadata: name → images and one SHA-256 over those of its files.
    skipped: what could not be used, and why.
    """

    images: Sequence[np.ndarray]
    held_out: Sequence[np.ndarray]
    folders: Mapping[str, Mapping[str, str]]
    skipped: Sequence[str]

    @property
    def identity(self) -> str:
        """Write the folders' hashes as one text."""
        return json.dumps(self.folders, sort_keys=True)


def load_pool(folders: Sequence[Path], side: int, held_out: int = HELD_OUT) -> Pool:
    """Decode every image under some folders, sub-folders too.

    side: the largest crop; smaller images are skipped. held_out: how many images, spread evenly, are kept for
    validation. Raises UsageError where a folder is missing or too few images are left.
    """
    images: list[np.ndarray] = []
    skipped: list[str] = []
    facts: dict[str, Mapping[str, str]] = {}
    for folder in folders:
        digests = []
        for path in _files(folder):
            try:
                loaded = read_image(path)
            except ImageError as error:
                skipped.append(str(error))
                continue
            if min(loaded.pixels.shape[:2]) < max(side, HELD_OUT_SIDE if held_out else 0):
                skipped.append(f"{path}: smaller than {side} pixels")
                continue
            images.append(np.ascontiguousarray(loaded.pixels))
            digests.append(loaded.sha256)
        name = folder.resolve().name
        facts[name if name not in facts else str(folder)] = _facts(digests)
    if len(images) <= held_out:
        names = ", ".join(map(str, folders))
        raise UsageError(
            f"{len(images)} usable images of {side} pixels or more in {names}; {held_out + 1} are needed", "data"
        )
    chosen = {index * len(images) // held_out for index in range(held_out)} if held_out else set()
    return Pool(
        [image for index, image in enumerate(images) if index not in chosen],
        [_middle(images[index]) for index in sorted(chosen)],
        facts,
        skipped,
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}", "data")
    found = [
        Path(root) / name
        for root, _, names in os.walk(folder)
        for name in names
        if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
    ]
    return sorted(found, key=lambda path: natural(str(path.relative_to(folder))))


def _facts(digests: Sequence[str]) -> dict[str, str]:
    return {"images": str(len(digests)), "sha256": hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()}


def _middle(image: np.ndarray) -> np.ndarray:
    top, left = ((side - HELD_OUT_SIDE) // 2 for side in image.shape[:2])
    return image[top : top + HELD_OUT_SIDE, left : left + HELD_OUT_SIDE].copy()


class Sampler:
    """Cuts the crops of a step; the same for the same seed and step, whatever came before."""

    def __init__(self, pool: Pool, recipe: Recipe, seed: int, device: torch.device) -> None:
        """Take the images, what to cut from them, and where the crops go."""
        self.images, self.recipe, self.seed, self.device = pool.images, recipe, seed, device

    def batch(self, step: int) -> Batch:
        """Draw scale, images, places, flips and transpositions of a step."""
        import torch

        from rescale_bench.training.learner import Batch

        rng = np.random.default_rng((self.seed, step))
        shares = self.recipe.scale_shares(step)
        scale = list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]
        pixels = torch.from_numpy(np.stack(list(self._crops(rng)))).to(self.device)
        # Bytes lie as (N, P, P, 3): seen as (N, 3, P, P) that is channels last.
        hr = pixels.permute(0, 3, 1, 2).float().div_(255)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        return Batch(hr, bicubic(hr, scale), scale, step, generator)

    def _crops(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        side = self.recipe.patch
        for _ in range(self.recipe.batch):
            image = self.images[int(rng.integers(len(self.images)))]
            top, left = (int(rng.integers(length - side + 1)) for length in image.shape[:2])
            crop = image[top : top + side, left : left + side]
            for axis in (0, 1):
                crop = np.flip(crop, axis) if rng.integers(2) else crop
            yield crop.transpose(1, 0, 2) if self.recipe.transpose and rng.integers(2) else crop


def bicubic(hr: torch.Tensor, scale: Decimal) -> torch.Tensor:
    """Shrink (N, 3, H, W) in [0, 1] by the protocols' bicubic to ceil(side / scale); clamped, not rounded."""
    from rescale_bench.images.resize import imresize

    if scale == 1:
        return hr
    size = lr_side(hr.shape[-2], scale), lr_side(hr.shape[-1], scale)
    return imresize(hr, scale=1 / Fraction(scale), size=size).clamp_(0, 1)

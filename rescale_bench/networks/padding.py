"""Padding of images to the sizes that networks need, and back."""

from __future__ import annotations

import torch
from torch.nn import functional


def pad_to_multiple(image: torch.Tensor, multiple: int) -> torch.Tensor:
    """Extend an image (N, C, H, W) at the bottom and right until both sides are multiples of a number.

    Pixels are reflected without repeating the edge; where an axis is too short for that, its edge is repeated.
    The same tensor comes back where nothing is missing.
    """
    height, width = image.shape[-2:]
    return pad_bottom_right(image, -height % multiple, -width % multiple)


def pad_bottom_right(image: torch.Tensor, bottom: int, right: int) -> torch.Tensor:
    """Extend an image (N, C, H, W) by numbers of rows and columns, by reflection where the axis is long enough."""
    # Reflection needs more pixels than it adds; each axis is judged alone, so a 1×100 image still reflects its width.
    if right:
        image = functional.pad(image, (0, right, 0, 0), _mode(image.shape[-1], right))
    if bottom:
        image = functional.pad(image, (0, 0, 0, bottom), _mode(image.shape[-2], bottom))
    return image


def _mode(side: int, amount: int) -> str:
    return "reflect" if amount < side else "replicate"


def crop(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Keep the top left (height, width) of an image (N, C, H, W)."""
    return image[..., : size[0], : size[1]]

"""Where a pixel of an image of any size lies in its source (AIDN, Eq. 1 and 2; ArbSR alike), and bilinear sampling."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

NEARLY = 1e-3
"""Keeps the whole part of a coordinate from falling one short through rounding errors."""


def source_positions(count: int, step: float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute, for output pixels 0..count along an axis and 1/σ = step, two vectors (count,).

    The source coordinate (i + .5)·step − .5 in pixels, and the coordinate relative to the source pixel that
    holds it, (i + .5)·step − ⌊(i + .5)·step + 0.001⌋ − .5.
    """
    centre = (torch.arange(count, dtype=torch.float64, device=like.device) + 0.5) * step
    relative = centre - torch.floor(centre + NEARLY) - 0.5
    return (centre - 0.5).to(like.dtype), relative.to(like.dtype)


def sample_map(features: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sample (N, C, h, w) bilinearly at pixel coordinates x, y (N, H, W), zeros outside; for autograd.

    Coordinates are normalised with 2/(n - 1), so align_corners is true; h and w must exceed 1.
    """
    height, width = features.shape[-2:]
    grid = torch.stack((x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1), -1)
    return functional.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def sample_rows(
    table: torch.Tensor, size: tuple[int, int], x: torch.Tensor, y: torch.Tensor, top: int = 0
) -> torch.Tensor:
    """Sample a map of a size (h, w) bilinearly at coordinates x, y (P,), zeros outside: (P, C).

    table: rows of pixels (n·w, C) from line `top` of the map on, all lines that y touches among them.
    Each result is a weighted sum of four rows, which embedding_bag gathers without intermediate copies.
    """
    height, width = size
    left, right, columns = _axis(x, width, 0, width)
    upper, lower, lines = _axis(y, height, top, len(table) // width)
    index = torch.stack([line * width + column for line in lines for column in columns], -1)
    weight = torch.stack((upper * left, upper * right, lower * left, lower * right), -1)
    return functional.embedding_bag(index, table, mode="sum", per_sample_weights=weight)


def lines_touched(y: torch.Tensor, height: int) -> tuple[int, int]:
    """Tell the first and the last of the lines 0..height that coordinates y touch (all of them where y has a NaN)."""
    low, high = (float(bound) for bound in torch.aminmax(y.clamp(-1, height)))
    if math.isnan(low) or math.isnan(high):
        return 0, height - 1
    return min(max(math.floor(low), 0), height - 1), min(math.floor(high) + 1, height - 1)


def _axis(
    p: torch.Tensor, side: int, first: int, count: int
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Split coordinates into the weights of the two neighbours (0 outside 0..side) and their indices from first on."""
    p = p.clamp(-2, side + 1)
    floor = p.floor()
    after = p - floor
    before = (1 - after) * ((floor >= 0) & (floor < side))
    after = after * ((floor >= -1) & (floor < side - 1))
    index = floor.int() - first
    return before, after, (index.clamp(0, count - 1), (index + 1).clamp(0, count - 1))

"""Where an output pixel of AIDN lies in the source (Eq. 1 and 2), and bilinear sampling there."""

from __future__ import annotations

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


def sample_rows(table: torch.Tensor, size: tuple[int, int], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sample a map given as rows of pixels (h·w, C) bilinearly at coordinates x, y (P,), zeros outside: (P, C).

    Each result is a weighted sum of four rows, which embedding_bag gathers without intermediate copies.
    """
    height, width = size
    left, right, columns = _axis(x, width)
    top, bottom, lines = _axis(y, height)
    index = torch.stack([line * width + column for line in lines for column in columns], -1)
    weight = torch.stack((top * left, top * right, bottom * left, bottom * right), -1)
    return functional.embedding_bag(index, table, mode="sum", per_sample_weights=weight)


def _axis(p: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Split coordinates into the weights of the two neighbours (0 where outside) and their indices (clamped)."""
    p = p.clamp(-2, side + 1)
    floor = p.floor()
    second = p - floor
    first = (1 - second) * ((floor >= 0) & (floor < side))
    second = second * ((floor >= -1) & (floor < side - 1))
    index = floor.int()
    return first, second, (index.clamp(0, side - 1), (index + 1).clamp(0, side - 1))

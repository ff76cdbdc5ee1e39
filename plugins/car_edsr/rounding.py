"""Rounding to 8 bit that CAR is trained through (Sun and Chen, TIP 2020, sec. 3.3)."""

from __future__ import annotations

import math

import torch


def soft_round(values: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Compute x − α·sin(2πx)/2π, a smooth stand-in for rounding: equal to it at every whole x, for α in [0, 1]."""
    return values - alpha * torch.sin(2 * math.pi * values) / (2 * math.pi)


def quantise_softly(image: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Clamp an image of any shape to [0, 1] and round it to multiples of 1/255.

    The value is exact; the gradient is that of soft_round on 0..255, 1 − α·cos(2πx).
    """
    levels = image.clamp(0, 1) * 255
    soft = soft_round(levels, alpha)
    return (soft + (levels.round() - soft).detach()) / 255

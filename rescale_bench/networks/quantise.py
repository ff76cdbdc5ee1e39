"""The 8-bit quantiser that rescaling networks are trained through."""

from __future__ import annotations

from typing import Any

import torch


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: torch.Tensor) -> torch.Tensor:
        del ctx
        return (image.clamp(0, 1) * 255).round() / 255

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        del ctx
        return gradients[0]


def quantise(image: torch.Tensor) -> torch.Tensor:
    """Clamp an image of any shape to [0, 1] and round it to multiples of 1/255.

    The gradient passes straight through, also where values were clamped (IRN, ECCV 2020, sec. 3.3).
    """
    result: torch.Tensor = _StraightThrough.apply(image)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return result

"""The quantiser that AIDN is trained through (Xing et al., arXiv 2201.12576, Eq. 4)."""

from __future__ import annotations

import math
from typing import Any

import torch


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, alpha: float, span: int) -> torch.Tensor:
        ctx.save_for_backward(image)
        ctx.alpha, ctx.span = alpha, span
        return (image.clamp(0, 1) * 255).round() / 255

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (image,) = ctx.saved_tensors
        value = image.clamp(0, 1) * ctx.span
        return gradients[0] * (1 - ctx.alpha * torch.cos(2 * math.pi * value)), None, None


def quantise(image: torch.Tensor, alpha: float = 0.5, span: int = 255) -> torch.Tensor:
    """Clamp an image of any shape to [0, 1] and round it to multiples of 1/255.

    The gradient is multiplied by 1 − α·cos(2πv). span: 255 takes v in 8-bit levels, as Eq. 4 means it;
    1 takes v in [0, 1], as the published code does.
    """
    result: torch.Tensor = _Quantise.apply(image, alpha, span)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return result

"""Resampling of 8-bit levels that arrive as floats: exact where MATLAB is exact.

Kernels at integer scales have dyadic weights, so their results meet exact halves (…·5) all the time; which way
those round moves PSNR in the fourth digit and PIQE in the second. Float32 noise must not decide it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescale_bench.images.resize import Kernel, imresize

if TYPE_CHECKING:
    import torch

NEAR = 2.0**-14
"""Part of a level within which a float counts as that level: above float32's error (1.5e-5), far below a level."""

TIE = 2.0**-30
"""Part of a level within which float64 counts as a tie and rounds up."""


def resize_levels(
    image: torch.Tensor,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    kernel: Kernel = "bicubic",
    antialias: bool = True,
) -> torch.Tensor:
    """Resample an image in [0, 1] by MATLAB's rule in float64, taking values next to a level k/255 as that level.

    Arguments as in resize.imresize; returns float64 in [0, 1] plus the kernel's overshoot.
    """
    return imresize(from_levels(image), scale=scale, size=size, kernel=kernel, antialias=antialias) / 255


def from_levels(image: torch.Tensor) -> torch.Tensor:
    """Bring an image in [0, 1] to 0..255 in float64, values next to a level k/255 to k itself."""
    import torch

    levels = image.to(torch.float64) * 255
    nearest = levels.round()
    return torch.where((levels - nearest).abs() < NEAR, nearest, levels)


def to_levels(image: torch.Tensor, how: str) -> torch.Tensor:
    """Bring [0, 1] to 0..255: uint8 rounded half up ("round") or cut ("truncate"), or float32 ("none")."""
    import torch

    scaled = image.to(torch.float64) * 255
    if how == "none":
        return scaled.to(torch.float32)
    return scaled.add_(0.5 + TIE if how == "round" else TIE).floor_().clamp_(0, 255).to(torch.uint8)

"""Turn RGB into luma by the four formulas that published numbers use (spec/metrics.md, "PSNR and SSIM")."""

from __future__ import annotations

from typing import Literal

import torch

from rescale_bench.errors import UsageError

Luma = Literal["bt601", "bt601-rounded", "car", "full"]

# Thousandths of the weights of R, G and B, the divisor of their sum in thousandths, and the offset.
FORMULAS: dict[str, tuple[tuple[int, int, int], int, int]] = {
    "bt601": ((65481, 128553, 24966), 255_000, 16),
    "bt601-rounded": ((65481, 128553, 24966), 255_000, 16),
    "car": ((65738, 129057, 25064), 255_000, 16),
    "full": ((299, 587, 114), 1000, 0),
}


def luma(image: torch.Tensor, which: Luma = "bt601", dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Compute Y in [0, 255] of RGB (..., 3, H, W), uint8 or float in [0, 255]; shape (..., H, W).

    which: as Protocol.luma; "bt601-rounded" rounds half up to whole numbers. dtype: of the result and,
    for float images, of the arithmetic; the weighted sum of 8-bit pixels is exact in integers.
    Raises UsageError for an unknown formula or an image without three channels.
    """
    if which not in FORMULAS:
        raise UsageError(f"luma '{which}'; choose from {', '.join(FORMULAS)}")
    if image.ndim < 3 or image.shape[-3] != 3:
        raise UsageError(f"luma needs an image (..., 3, H, W), not {tuple(image.shape)}")
    (red, green, blue), divisor, offset = FORMULAS[which]
    r, g, b = image.to(dtype if image.is_floating_point() else torch.int32).unbind(-3)
    total = (r * red).add_(g, alpha=green).add_(b, alpha=blue)
    y = total.to(dtype).div_(divisor).add_(offset)
    return y.add_(0.5).floor_() if which == "bt601-rounded" else y


# Rows Y, Cb, Cr of R, G, B in [0, 1], and what is added, all in 255ths (ITU-R BT.601, as MATLAB's rgb2ycbcr).
YCBCR = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
OFFSETS = (16.0, 128.0, 128.0)


def to_ycbcr(image: torch.Tensor) -> torch.Tensor:
    """Turn RGB (N, 3, H, W) in [0, 1] into Y, Cb, Cr of BT.601 in 255ths of [0, 1]: Y from 16 to 235; float64."""
    matrix, offsets = _bt601(image.device)
    return torch.einsum("ij,njhw->nihw", matrix, image.to(torch.float64)).add_(offsets)


def from_ycbcr(image: torch.Tensor) -> torch.Tensor:
    """Undo to_ycbcr; the result is not clamped."""
    matrix, offsets = _bt601(image.device)
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(matrix), image.to(torch.float64) - offsets)


def _bt601(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    matrix = torch.tensor(YCBCR, dtype=torch.float64, device=device) / 255
    return matrix, torch.tensor(OFFSETS, dtype=torch.float64, device=device).view(3, 1, 1) / 255

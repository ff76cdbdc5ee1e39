"""Luma and chroma of JPEG files, full range (JFIF 1.02): Y, Cb, Cr of R, G, B in any common unit."""

from __future__ import annotations

import torch

FORWARD = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
INVERSE = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def rgb_to_ycc(rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split RGB (N, 3, H, W) into Y (N, 1, H, W) and Cb, Cr (N, 2, H, W), which are 0 for grey."""
    ycc = _mixed(FORWARD, rgb)
    return ycc[:, :1], ycc[:, 1:]


def ycc_to_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Join Y (N, 1, H, W) and Cb, Cr (N, 2, H, W), 0 for grey, to RGB (N, 3, H, W); nothing is clamped."""
    return _mixed(INVERSE, torch.cat((luma, chroma), 1))


def _mixed(matrix: tuple[tuple[float, ...], ...], x: torch.Tensor) -> torch.Tensor:
    return torch.einsum("jk,nkhw->njhw", torch.tensor(matrix, dtype=x.dtype, device=x.device), x)

"""Content-adaptive resampling (Sun and Chen, CAR, TIP 2020, Eq. 1-3), on any device and for autograd."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from .kernels import Resampling

STRIP_TAPS = 1 << 18
"""Taps of one strip of LR rows without autograd; its vectors stay in the processor's cache."""


def resample(hr: torch.Tensor, by: Resampling, scale: int) -> torch.Tensor:
    """Shrink (N, 3, H, W) to (N, 3, H/scale, W/scale): LR = Σ taps kernel · bilinear sample.

    Tap (ky, kx) of LR pixel (y, x) lies at ((x + .5)·W/w − .5 + kx + scale·off_h, the same in y) of the image
    padded by reflection with k//2; the right neighbour is the clamped left one plus 1, clamped, while the
    weights come from the unclamped fraction. Differentiable in the image, the kernels and the offsets.
    """
    side = math.isqrt(by.kernels.shape[1])
    padded = functional.pad(hr, (side // 2,) * 4, mode="reflect")
    height, width = by.kernels.shape[-2:]
    step = height if torch.is_grad_enabled() else max(1, STRIP_TAPS // (side**2 * width))
    rows = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    images = []
    for image, *fields in zip(padded, *by, strict=True):
        strips = [_strip(image, Resampling(*(field[:, at] for field in fields)), at, scale) for at in rows]
        images.append(torch.cat(strips).permute(2, 0, 1))
    return torch.stack(images)


def _strip(padded: torch.Tensor, by: Resampling, rows: slice, scale: int) -> torch.Tensor:
    """Compute some rows of one LR, (rows, w, 3), from the padded image (3, H, W) and fields (k², rows, w)."""
    kernels, offsets_h, offsets_v = (field.permute(1, 2, 0) for field in by)
    side, (height, width) = math.isqrt(kernels.shape[2]), padded.shape[1:]
    taps = torch.arange(side**2, device=padded.device)
    y = (torch.arange(rows.start, rows.stop, device=padded.device) + 0.5) * scale - 0.5
    x = (torch.arange(kernels.shape[1], device=padded.device) + 0.5) * scale - 0.5
    top, bottom, upper, lower = _axis(offsets_v * scale, y[:, None, None] + taps // side, height)
    left, right, before, after = _axis(offsets_h * scale, x[:, None] + taps % side, width)
    upper, lower = upper * width, lower * width
    index = torch.stack((upper + before, upper + after, lower + before, lower + after), -1)
    top, bottom = top * kernels, bottom * kernels
    weight = torch.stack((top * left, top * right, bottom * left, bottom * right), -1)
    # A weighted sum of pixels: embedding_bag gathers them by integer indices, without copies of the image.
    table = padded.permute(1, 2, 0).flatten(0, 1)
    shape = (kernels.shape[0] * kernels.shape[1], -1)
    lr = functional.embedding_bag(index.view(shape), table, mode="sum", per_sample_weights=weight.view(shape))
    return lr.view(*kernels.shape[:2], 3)


def _axis(
    moved: torch.Tensor, rest: torch.Tensor, side: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split coordinates moved + rest into weights and indices of both neighbours: (first, second, left, right).

    rest holds whole and half numbers. Only its half is added before rounding down, so that the weights are as exact far
    from the origin as near it, and tiles equal the whole.
    """
    whole = rest.floor()
    moved = moved + (rest - whole)
    floor = moved.detach().floor()
    second = moved - floor
    left = (floor + whole).int().clamp(0, side - 1)
    return 1 - second, second, left, (left + 1).clamp(max=side - 1)

"""Content-adaptive resampling (Sun and Chen, CAR, TIP 2020, Eq. 1-3), on any device and for autograd."""

from __future__ import annotations

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
    side = round(by.kernels.shape[1] ** 0.5)
    padded = functional.pad(hr, (side // 2,) * 4, mode="reflect")
    height, width = by.kernels.shape[-2:]
    step = max(1, STRIP_TAPS // (side**2 * width)) if not torch.is_grad_enabled() else height
    images = []
    for image, *fields in zip(padded, *by, strict=True):
        table = image.permute(1, 2, 0).flatten(0, 1)
        size, total = (image.shape[1], image.shape[2]), (height, width)
        rows = [slice(top, min(top + step, height)) for top in range(0, height, step)]
        strips = [_strip(table, size, Resampling(*(f[:, at] for f in fields)), at.start, total, side) for at in rows]
        images.append(torch.cat(strips).view(height, width, 3).permute(2, 0, 1))
    return torch.stack(images)


def _strip(
    table: torch.Tensor, size: tuple[int, int], by: Resampling, first: int, total: tuple[int, int], side: int
) -> torch.Tensor:
    """Compute LR pixels (P, 3) of some rows, beginning with row first.

    table: the padded image as rows of pixels (H·W, 3). by: (k², rows, w) each. total: the LR's (height, width).
    """
    kernels, offsets_h, offsets_v = (field.permute(1, 2, 0) for field in by)
    # The sampled image is larger than the LR by the scale, apart from the padding of k//2 on each side.
    steps = [(size[axis] - side // 2 * 2) / total[axis] for axis in (0, 1)]
    scale = round(steps[0])
    taps = torch.arange(side**2, device=table.device)
    rows = torch.arange(first, first + kernels.shape[0], device=table.device)
    columns = torch.arange(total[1], device=table.device)
    base_y = ((rows + 0.5) * steps[0] - 0.5)[:, None, None] + taps // side
    base_x = ((columns + 0.5) * steps[1] - 0.5)[:, None] + taps % side
    top, bottom, upper, lower = _axis(offsets_v * scale + base_y, size[0])
    left, right, before, after = _axis(offsets_h * scale + base_x, size[1])
    upper, lower = upper * size[1], lower * size[1]
    index = torch.stack((upper + before, upper + after, lower + before, lower + after), -1)
    top, bottom = top * kernels, bottom * kernels
    weight = torch.stack((top * left, top * right, bottom * left, bottom * right), -1)
    pixels = kernels.shape[0] * kernels.shape[1]
    return functional.embedding_bag(
        index.view(pixels, -1), table, mode="sum", per_sample_weights=weight.view(pixels, -1)
    )


def _axis(p: torch.Tensor, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split coordinates into the weights of both neighbours and their indices: (first, second, left, right)."""
    floor = p.floor()
    second = p - floor.detach()
    left = floor.int().clamp(0, side - 1)
    return 1 - second, second, left, (left + 1).clamp(max=side - 1)

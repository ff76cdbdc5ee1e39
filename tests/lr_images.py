"""Bicubic LR images and finished samples for the tests, without the package's own resampler."""

import dataclasses
from decimal import Decimal

import numpy as np
from PIL import Image

from rescale_bench.api.records import Costs, Sample
from rescale_bench.protocols.named import RGB8


def bicubic_lr(path, scale):
    """Crop to multiples of scale and shrink by MATLAB's bicubic rule (spec/protocols.md); uint8 (h, w, 3)."""
    hr = np.asarray(Image.open(path).convert("RGB"))
    height, width = (side // scale * scale for side in hr.shape[:2])
    small = np.einsum(
        "yh,hwc,xw->yxc",
        _weights(height, scale),
        hr[:height, :width].astype(float),
        _weights(width, scale),
        optimize=True,
    )
    return np.floor(np.clip(small, 0, 255) + 0.5).astype(np.uint8)


def _weights(side, scale):
    centre = np.arange(1, side // scale + 1) * scale + 0.5 * (1 - scale)
    source = np.floor(centre - 2 * scale)[:, None] + np.arange(4 * scale + 2)
    t = np.abs(centre[:, None] - source) / scale
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    taps = np.where(t <= 1, near, np.where(t <= 2, far, 0))
    mirrored = np.concatenate([np.arange(side), np.arange(side)[::-1]])[source.astype(int) % (2 * side) - 1]
    matrix = np.zeros((len(centre), side))
    np.add.at(matrix, (np.arange(len(centre))[:, None], mirrored), taps / taps.sum(axis=1, keepdims=True))
    return matrix


def all_lr(folder, scale):
    """Shrink every image of a data set, in the order of their names."""
    paths = sorted(folder.glob("*.png"))
    assert paths, f"no images in {folder}"
    return [bicubic_lr(path, scale) for path in paths]


def sample_of(lr, scale=2, **changes):
    """Make a finished round trip around an LR, uint8 (h, w, C)."""
    import torch

    small = torch.from_numpy(np.array(lr)).permute(2, 0, 1).contiguous()
    hr = torch.zeros((3, small.shape[1] * scale, small.shape[2] * scale), dtype=torch.uint8)
    sample = Sample(
        hr=hr,
        sr=hr,
        lr=small,
        lr_reference=small,
        lr_sent=small,
        file=b"",
        scale=Decimal(scale),
        protocol=RGB8,
        costs=Costs(0.5, 0.25),
    )
    return dataclasses.replace(sample, **changes)

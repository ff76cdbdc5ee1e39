"""JPEG inside a training: the real codec on a batch, and a stand-in that lets gradients through."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.nn import functional

from rescale_bench.codecs import encode_decode
from rescale_bench.codecs.pillow_formats import JPEG
from rescale_bench.images.jfif import rgb_to_ycc, ycc_to_rgb

LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
"""Quantisation tables of the standard (ITU-T T.81, Annex K.1), row by row."""

SAMPLED = 16
"""Pixels of a block of 8×8 chroma values at 4:2:0."""


def compress(image: torch.Tensor, quality: int) -> torch.Tensor:
    """Send images (N, 3, h, w) of 8-bit levels in [0, 1] through Pillow's JPEG at 4:2:0; no gradient passes."""
    pixels = image.detach().float().mul(255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    decoded = [torch.from_numpy(encode_decode(JPEG, one, {"quality": quality})[1].copy()) for one in pixels]
    return torch.stack(decoded).permute(0, 3, 1, 2).to(image.device, torch.float32).div(255)


def compress_softly(image: torch.Tensor, quality: int, cubic: bool = True) -> torch.Tensor:
    """Compute what JPEG at 4:2:0 does to images (N, 3, h, w) in [0, 1], differentiably; in [0, 1], not rounded.

    Coefficients are rounded to r + (x − r)³, r the nearest whole number, whose gradient 3(x − r)² is not zero
    (Shin and Song, JPEG-resistant Adversarial Images, NIPS workshop 2017); to r itself where cubic is False.
    """
    height, width = image.shape[-2:]
    with torch.autocast(image.device.type, enabled=False):
        levels = functional.pad(image.float() * 255, (0, -width % SAMPLED, 0, -height % SAMPLED), mode="replicate")
        luma, chroma = rgb_to_ycc(levels)
        luma = _quantised(luma - 128, LUMA, quality, cubic) + 128
        chroma = _quantised(functional.avg_pool2d(chroma, 2), CHROMA, quality, cubic)
        # libjpeg's "fancy upsampling" weighs neighbours 3:1 in both directions, as bilinear enlargement does.
        chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
        result = ycc_to_rgb(luma, chroma)[..., :height, :width]
        return (result / 255).clamp(0, 1)


def _quantised(plane: torch.Tensor, table: tuple[tuple[int, ...], ...], quality: int, cubic: bool) -> torch.Tensor:
    """Quantise the cosine transform of 8×8 blocks of (N, C, h, w)."""
    count, channels, height, width = plane.shape
    steps, transform = _scaled(plane.new_tensor(table), quality), _cosines(plane)
    blocks = plane.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = (transform @ blocks @ transform.T) / steps
    rounded = coefficients.round().detach()
    if cubic:
        rounded = rounded + (coefficients - rounded) ** 3
    restored = transform.T @ (rounded * steps) @ transform
    return restored.transpose(3, 4).reshape(plane.shape)


def _scaled(table: torch.Tensor, quality: int) -> torch.Tensor:
    """Scale a table to a quality of 1 to 100 by libjpeg's rule (jcparam.c)."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((table * percent + 50) / 100).floor().clamp(1, 255)


def _cosines(like: torch.Tensor) -> torch.Tensor:
    """Build the orthonormal 8×8 matrix of the cosine transform (T.81, A.3.3)."""
    make = partial(torch.arange, 8, dtype=torch.float64)
    matrix = 0.5 * torch.cos((2 * make() + 1) * make()[:, None] * math.pi / 16)
    matrix[0] = 1 / math.sqrt(8)
    return matrix.to(like)

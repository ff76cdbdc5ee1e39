"""ArbRCAN's trunk: RCAN's residual groups, and an adaption to the scale after each (ArbSR, ICCV 2021).

Every module computes on whole maps for autograd, and in place on one map, with one more to spare, without.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.lines import Convolution, Layer, convolution, stream
from rescale_bench.networks.residual import conv3
from rescale_bench.networks.scale_aware import ExpertKernel

from .layout import ArbRcanLayout

Steps = tuple[float, float]
"""Source pixels per output pixel, 1/s: vertical, horizontal."""


def fill(target: torch.Tensor, source: torch.Tensor, *layers: Layer) -> None:
    """Write what layers make of a map (1, C, h, w) into a map of that shape, in slabs of rows."""
    done = 0
    for rows in stream(source, source.shape[1], layers):
        target[:, :, done : done + rows.shape[2]] = rows
        done += rows.shape[2]


class ChannelAttention(nn.Module):
    """Multiply each channel by a number that the means of all channels decide (RCAN, ECCV 2018, sec. 3.3)."""

    def __init__(self, layout: ArbRcanLayout) -> None:
        """Take the sizes."""
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(layout.width, layout.squeezed, 1),
            nn.ReLU(True),
            nn.Conv2d(layout.squeezed, layout.width, 1),
            nn.Sigmoid(),
        )

    def gains(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the numbers (N, width, 1, 1)."""
        result: torch.Tensor = self.conv_du(x.mean((2, 3), keepdim=True))
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh (N, width, H, W)."""
        return x * self.gains(x)


class AttentionBlock(nn.Module):
    """Add attention(conv(relu(conv(x)))) to x."""

    def __init__(self, layout: ArbRcanLayout) -> None:
        """Take the sizes."""
        super().__init__()
        width = layout.width
        self.body = nn.Sequential(conv3(width, width), nn.ReLU(True), conv3(width, width), ChannelAttention(layout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, width, H, W) to the same shape."""
        result: torch.Tensor = x + self.body(x)
        return result

    def refine(self, x: torch.Tensor, spare: torch.Tensor) -> None:
        """Do the same in place; not for autograd."""
        first = cast(nn.Conv2d, self.body[0])
        fill(spare, x, Convolution(first.weight, first.bias, relu=True), convolution(self.body[2]))
        x.addcmul_(spare, cast(ChannelAttention, self.body[3]).gains(spare))


class Group(nn.Module):
    """Add conv(blocks(x)) to x."""

    def __init__(self, layout: ArbRcanLayout) -> None:
        """Take the sizes."""
        super().__init__()
        blocks = (AttentionBlock(layout) for _ in range(layout.blocks))
        self.body = nn.Sequential(*blocks, conv3(layout.width, layout.width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, width, H, W) to the same shape."""
        result: torch.Tensor = x + self.body(x)
        return result

    def refine(self, x: torch.Tensor, spare: torch.Tensor) -> None:
        """Do the same in place; not for autograd."""
        before = x.clone()
        *blocks, last = self.body
        for block in blocks:
            cast(AttentionBlock, block).refine(x, spare)
        fill(spare, x, convolution(last))
        torch.add(before, spare, out=x)


class MaskedAdaption(nn.Module):
    """Compute x + mask(x) · conv(x, Σ rₙ Eₙ), r from the scale; the mask is made at half the size."""

    def __init__(self, layout: ArbRcanLayout) -> None:
        """Take the sizes."""
        super().__init__()
        narrow = layout.mask_width
        self.mask = nn.Sequential(
            *_normed(layout.width, narrow), nn.ReLU(True), nn.AvgPool2d(2),
            *_normed(narrow, narrow), nn.ReLU(True),
            *_normed(narrow, narrow), nn.ReLU(True),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            *_normed(narrow, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.adapt = ExpertKernel(layout.width, layout.kernels, layout.routing_width)

    def forward(self, x: torch.Tensor, steps: Steps) -> torch.Tensor:
        """Adapt (N, width, H, W) to a scale; H and W must be even."""
        mask: torch.Tensor = self.mask(x)
        return x + mask * functional.conv2d(x, self.adapt(steps), padding=1)

    def refine(self, x: torch.Tensor, spare: torch.Tensor, steps: Steps) -> None:
        """Do the same in place; not for autograd."""
        kernel = self.adapt(steps).contiguous(memory_format=torch.channels_last)
        fill(spare, x, Convolution(kernel, None))
        x.addcmul_(spare, self.mask(x))


def _normed(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return conv3(inputs, outputs), nn.BatchNorm2d(outputs)

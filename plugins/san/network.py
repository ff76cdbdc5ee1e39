"""SAN: the second-order attention network (Dai et al., CVPR 2019), with the keys of the published files."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.padding import crop, pad_bottom_right
from rescale_bench.networks.residual import MeanShift, conv3, upsampler
from rescale_bench.networks.super_resolution import SuperResolution

WIDTH, GROUPS, BLOCKS, REDUCTION = 64, 20, 10, 16
ITERATIONS = 5
"""Steps of the Newton-Schulz iteration towards a matrix's square root (sec. 3.3)."""

CENTRE = 1000
"""Pixels of an axis that the covariance uses at most, the central ones, as in the authors' program."""

SMALLEST = 4
"""Pixels of an axis that the non-local block needs: half of them are pooled by 2."""


class San(SuperResolution):
    """Map (N, 3, h, w) to (N, 3, s·h, s·w), both in [0, 255]; sides of at least 4 (restore pads smaller ones)."""

    def __init__(self, scale: int) -> None:
        """Set the scale: 2, 3, 4 or 8."""
        super().__init__(scale)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.sub_mean, self.add_mean = MeanShift(-1, 255), MeanShift(+1, 255)
        self.head = nn.Sequential(conv3(3, WIDTH))
        self.non_local = RegionalNonLocal()
        self.RG = nn.ModuleList(Group() for _ in range(GROUPS))
        self.conv_last = conv3(WIDTH, WIDTH)  # in the published files; the authors' program does not call it
        self.tail = nn.Sequential(upsampler(WIDTH, scale), conv3(WIDTH, 3))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image in [0, 255]."""
        shallow = self.head(self.sub_mean(lr))
        first = self.non_local(shallow)
        x = first
        for group in self.RG:
            x = group(x) + self.gamma * first
        restored: torch.Tensor = self.add_mean(self.tail(self.non_local(x) + shallow))
        return restored

    def restore(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image in [0, 1] of any size."""
        height, width = lr.shape[-2:]
        padded = pad_bottom_right(lr, max(0, SMALLEST - height), max(0, SMALLEST - width))
        return crop(super().restore(padded), (height * self.scale, width * self.scale))


class Group(nn.Module):
    """Ten residual blocks, second-order attention, a convolution, and the input added (Fig. 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))  # in the published files; the authors' program does not use it
        self.rcab = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.soca = SecondOrderAttention(REDUCTION)
        self.conv_last = conv3(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w) to the same."""
        inner = x
        for block in self.rcab:
            inner = block(inner)
        result: torch.Tensor = self.conv_last(self.soca(inner)) + x
        return result


class Block(nn.Module):
    """Compute x + conv(relu(conv(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_first = nn.Sequential(conv3(WIDTH, WIDTH), nn.ReLU(), conv3(WIDTH, WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w) to the same."""
        result: torch.Tensor = self.conv_first(x) + x
        return result


class SecondOrderAttention(nn.Module):
    """Weigh channels by what the square root of their covariance says about them (sec. 3.3, eq. 4 to 11)."""

    def __init__(self, reduction: int) -> None:
        super().__init__()
        hidden = WIDTH // reduction
        self.conv_du = nn.Sequential(nn.Conv2d(WIDTH, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, WIDTH, 1), nn.Sigmoid())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w) to the same."""
        means = square_root(covariance(x)).mean(dim=1).to(x.dtype)
        weights: torch.Tensor = self.conv_du(means[:, :, None, None])
        return x * weights


def covariance(x: torch.Tensor) -> torch.Tensor:
    """Compute the covariance of the channels of (N, C, h, w) over its pixels, (N, C, C), divided by their number.

    Features are centred first, so that only C×C numbers come of them, not pixels × pixels. In float64, because the
    square root of a nearly singular matrix amplifies rounding.
    """
    rows, columns = (_central(side) for side in x.shape[-2:])
    features = x[..., rows, columns].flatten(2).to(torch.float64)
    features = features - features.mean(dim=2, keepdim=True)
    return features @ features.transpose(1, 2) / features.shape[2]


def _central(side: int) -> slice:
    start = max(0, side - CENTRE) // 2
    return slice(start, start + min(side, CENTRE))


def square_root(matrix: torch.Tensor) -> torch.Tensor:
    """Approximate the square root of positive semi-definite matrices (N, C, C) (eq. 6 to 9)."""
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    identity = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    y, z = matrix / trace, identity.expand_as(matrix)
    for _ in range(ITERATIONS - 1):
        step = (3 * identity - z @ y) / 2
        y, z = y @ step, step @ z
    return y @ (3 * identity - z @ y) / 2 * trace.sqrt()


class RegionalNonLocal(nn.Module):
    """Let each pixel look at all pixels of its quarter of the image (sec. 3.4)."""

    def __init__(self) -> None:
        super().__init__()
        self.soca = SecondOrderAttention(8)  # in the published files; the authors' program does not call it
        self.non_local = NonLocal()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w) to the same; sides may be odd."""
        middle = x.shape[-2] // 2
        rows = [self._halves(part) for part in (x[..., :middle, :], x[..., middle:, :])]
        return torch.cat(rows, dim=-2)

    def _halves(self, x: torch.Tensor) -> torch.Tensor:
        middle = x.shape[-1] // 2
        return torch.cat([self.non_local(part) for part in (x[..., :middle], x[..., middle:])], dim=-1)


class NonLocal(nn.Module):
    """Compute x + W(attention) with keys and values pooled by 2 (embedded Gaussian; Wang et al., CVPR 2018)."""

    def __init__(self) -> None:
        super().__init__()
        inner = WIDTH // 8
        self.theta, self.W = nn.Conv2d(WIDTH, inner, 1), nn.Conv2d(inner, WIDTH, 1)
        self.phi, self.g = (nn.Sequential(nn.Conv2d(WIDTH, inner, 1), nn.MaxPool2d(2)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w), sides of at least 2, to the same."""
        queries, keys, values = (part(x).flatten(2).transpose(1, 2)[:, None] for part in (self.theta, self.phi, self.g))
        # Not scaled; torch computes it in blocks, so that (pixels × pixels) numbers are never held.
        seen = functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        result: torch.Tensor = self.W(seen[:, 0].transpose(1, 2).reshape(len(x), -1, *x.shape[-2:])) + x
        return result

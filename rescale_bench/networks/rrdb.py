"""Residual-in-residual dense blocks (RRDB: Wang et al., ESRGAN, ECCVW 2018, Fig. 4)."""

from __future__ import annotations

import torch
from torch import nn

from rescale_bench.networks.dense import DenseBlock

RESIDUAL = 0.2
"""Scale of the inner and of the outer residuals."""


class ResidualInResidual(nn.Module):
    """Three residual dense blocks inside a residual: (N, C, H, W) to the same; keys `RDB1` to `RDB3`."""

    def __init__(self, channels: int, growth: int) -> None:
        """Set the widths."""
        super().__init__()
        self.RDB1 = DenseBlock(channels, channels, growth)
        self.RDB2 = DenseBlock(channels, channels, growth)
        self.RDB3 = DenseBlock(channels, channels, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add 0.2 of the three blocks' output."""
        inner = x
        for block in (self.RDB1, self.RDB2, self.RDB3):
            inner = inner + RESIDUAL * block(inner)
        return x + RESIDUAL * inner

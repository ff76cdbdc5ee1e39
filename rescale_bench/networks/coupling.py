"""Invertible coupling of two groups of channels (IRN, IJCV 2022, Eq. 1-3; FGRN, BMVC 2021, Eq. 5-6)."""

from __future__ import annotations

import torch
from torch import nn

from rescale_bench.networks.dense import DenseBlock

Pair = tuple[torch.Tensor, torch.Tensor]


class CouplingBlock(nn.Module):
    """An invertible step on channels split into x1 (`kept`) and x2 (the rest).

    y1 = x1 + F(x2), y2 = x2·exp(s) + G(y1) with s = 2σ(H(y1)) − 1, or s = H(y1) where unbounded.
    FGRN writes α for F, φ for G and β for H. Tensors are (N, kept, H, W) and (N, channels − kept, H, W).
    """

    def __init__(self, channels: int, kept: int, growth: int = 32, bounded: bool = True) -> None:
        """Set the number of channels, of those in x1, and the width of the sub-networks."""
        super().__init__()
        self.bounded = bounded
        self.F = DenseBlock(channels - kept, kept, growth)
        self.G = DenseBlock(kept, channels - kept, growth)
        self.H = DenseBlock(kept, channels - kept, growth)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the paper's initial weights, with which the block is the identity."""
        for block in (self.F, self.G, self.H):
            block.initialise(generator)

    def log_scale(self, y1: torch.Tensor) -> torch.Tensor:
        """Compute s, whose sum is the logarithm of the Jacobian's determinant; in (−1, 1) where bounded."""
        raw: torch.Tensor = self.H(y1)
        return torch.tanh(raw / 2) if self.bounded else raw  # tanh(h/2) = 2σ(h) − 1

    def forward(self, x1: torch.Tensor, x2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return y1, y2 and s."""
        y1 = self.first(x1, x2)
        s = self.log_scale(y1)
        return y1, torch.addcmul(self.G(y1), x2, torch.exp(s)), s

    def first(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Return y1 alone, which needs neither G nor H: enough after the last block when only the LR is wanted."""
        y1: torch.Tensor = x1 + self.F(x2)
        return y1

    def inverse(self, y1: torch.Tensor, y2: torch.Tensor) -> Pair:
        """Return x1 and x2."""
        x2 = self.second(y1, y2)
        return y1 - self.F(x2), x2

    def second(self, y1: torch.Tensor, y2: torch.Tensor) -> torch.Tensor:
        """Return x2 alone, which does not need F."""
        x2: torch.Tensor = (y2 - self.G(y1)) * torch.exp(-self.log_scale(y1))
        return x2

"""The learned steps of IRN's variants: 3×3 squeeze (IRN_LD) and colour matrix (IRN_color)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.invertible import inverted, mix

RGB_TO_YUV = ((0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100))
"""Initial colour matrix on RGB (IJCV 2022, sec. 3.3)."""


class LearnedSqueeze(nn.Module):
    """Learnable down-sampling: one matrix on the s² pixels of a block, shared by the colours (IJCV 2022, sec. 3.3).

    Maps (N, C, s·h, s·w) to (N, s²·C, h, w), component-major; pixel dy·s + dx of a block is column dy·s + dx.
    """

    def __init__(self, factor: int) -> None:
        """Set s."""
        super().__init__()
        self.factor = factor
        self.conv_weights = nn.Parameter(torch.eye(factor**2))

    def initialise(self, generator: torch.Generator) -> None:
        """Set the identity with the mean in row 0, so that the LR begins as the block average."""
        del generator
        with torch.no_grad():
            self.conv_weights.copy_(torch.eye(self.factor**2))
            self.conv_weights[0] = 1 / self.factor**2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, s²·C, h, w)."""
        pixels = functional.pixel_unshuffle(x, self.factor)
        per_colour = pixels.reshape(len(x), -1, self.factor**2, *pixels.shape[2:])
        return mix(self.conv_weights, per_colour.transpose(1, 2)).flatten(1, 2)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Return (N, C, s·h, s·w)."""
        components = y.reshape(len(y), self.factor**2, -1, *y.shape[2:])
        pixels = mix(inverted(self.conv_weights), components)
        return functional.pixel_shuffle(pixels.transpose(1, 2).flatten(1, 2), self.factor)


class ColourMatrix(nn.Module):
    """A learnable 3×3 matrix over the channels, in the BGR order of the published network."""

    def __init__(self) -> None:
        """Hold the matrix."""
        super().__init__()
        self.conv_weights = nn.Parameter(torch.eye(3))

    def initialise(self, generator: torch.Generator) -> None:
        """Set the RGB-to-YUV matrix, its columns reversed for BGR."""
        del generator
        with torch.no_grad():
            self.conv_weights.copy_(torch.tensor(RGB_TO_YUV).flip(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to (N, 3, H, W), grey first."""
        return mix(self.conv_weights, x)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo forward."""
        return mix(inverted(self.conv_weights), y)

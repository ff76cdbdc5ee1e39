"""The invertible steps that change resolution or colour: Haar, learned 3×3 squeeze, colour matrix."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

HAAR = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))
"""Signs of top left, top right, bottom left, bottom right in the four components."""

RGB_TO_YUV = ((0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100))
"""Initial colour matrix on RGB (IJCV 2022, sec. 3.3)."""


def haar_weights(channels: int) -> torch.Tensor:
    """Build the constant that published states hold: (4·channels, 1, 2, 2), the four sign patterns per channel."""
    return torch.tensor(HAAR, dtype=torch.float32).reshape(4, 1, 2, 2).repeat(channels, 1, 1, 1)


class Haar(nn.Module):
    """Haar transform of 2×2 blocks: (N, C, 2h, 2w) to (N, 4C, h, w), component-major, mean first."""

    def __init__(self, channels: int) -> None:
        """Set the number of input channels."""
        super().__init__()
        # A parameter, because published states hold it and the papers' counts include it; but never trained.
        self.haar_weights = nn.Parameter(haar_weights(channels), requires_grad=False)

    def initialise(self, generator: torch.Generator) -> None:
        """Set the constant."""
        del generator
        self.haar_weights.copy_(haar_weights(len(self.haar_weights) // 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the components (a+b+c+d, a−b+c−d, a+b−c−d, a−b−c+d) / 4."""
        a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
        c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
        top, bottom, top_difference, bottom_difference = a + b, c + d, a - b, c - d
        sums = (top + bottom, top_difference + bottom_difference, top - bottom, top_difference - bottom_difference)
        return torch.cat(sums, 1) / 4

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Return (N, C, 2h, 2w) from (N, 4C, h, w)."""
        mean, horizontal, vertical, diagonal = y.chunk(4, 1)
        left, right = mean + horizontal, mean - horizontal
        top, bottom = vertical + diagonal, vertical - diagonal
        corners = torch.stack((left + top, right + bottom, left - top, right - bottom), 2)
        return functional.pixel_shuffle(corners.flatten(1, 2), 2)


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
        return _mix(self.conv_weights, per_colour.transpose(1, 2)).flatten(1, 2)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Return (N, C, s·h, s·w)."""
        components = y.reshape(len(y), self.factor**2, -1, *y.shape[2:])
        pixels = _mix(inverted(self.conv_weights), components)
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
        return _mix(self.conv_weights, x)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo forward."""
        return _mix(inverted(self.conv_weights), y)


def inverted(matrix: torch.Tensor) -> torch.Tensor:
    """Invert a small square matrix in double precision, so that the round trip stays within float32's."""
    inverse: torch.Tensor = torch.linalg.inv(matrix.double())
    return inverse.to(matrix.dtype)


def _mix(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Multiply dimension 1 of (N, K, …) by a (K, K) matrix."""
    return torch.einsum("jk,nk...->nj...", matrix, x)

"""Invertible linear steps that several systems share: the Haar transform, and small matrices over channels."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.errors import WeightsError

HAAR = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))
"""Signs of top left, top right, bottom left, bottom right in the four components."""


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


def check_haar(network: nn.Module, where: str) -> None:
    """Raise WeightsError, beginning with where, for a loaded network whose Haar constants are not the Haar signs."""
    for name, module in network.named_modules():
        if isinstance(module, Haar):
            weights = module.haar_weights
            if not torch.equal(weights, haar_weights(len(weights) // 4)):
                raise WeightsError(f"{where}: {name}.haar_weights are not the Haar signs")


def inverted(matrix: torch.Tensor) -> torch.Tensor:
    """Invert a small square matrix in double precision, so that the round trip stays within float32's."""
    inverse: torch.Tensor = torch.linalg.inv(matrix.double())
    return inverse.to(matrix.dtype)


def mix(matrix: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Multiply dimension 1 of (N, K, …) by a (K, K) matrix."""
    return torch.einsum("jk,nk...->nj...", matrix, x)

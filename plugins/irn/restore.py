"""The compression restore module: an RRDB network at LR size (IJCV 2022, sec. 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from rescale_bench.networks.dense import LAYERS, DenseBlock
from rescale_bench.networks.loading import count_layers, load_strict, side
from rescale_bench.networks.rrdb import ResidualInResidual


class RestoreNetwork(nn.Module):
    """Restores an LR that went through a lossy codec: RGB (N, 3, h, w) in [0, 1] to the same, unclamped."""

    def __init__(self, channels: int = 64, depth: int = 8, growth: int = 32) -> None:
        """Set the widths and the number of blocks."""
        super().__init__()
        self.conv_first = nn.Conv2d(3, channels, 3, padding=1)
        self.RRDB_trunk = nn.Sequential(*(ResidualInResidual(channels, growth) for _ in range(depth)))
        self.trunk_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_last = nn.Conv2d(channels, 3, 3, padding=1)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw initial weights: dense blocks as in IRN, Xavier normal for the other convolutions, zero biases."""
        for module in self.modules():
            if isinstance(module, DenseBlock):
                module.initialise(generator)
        for convolution in (self.conv_first, self.trunk_conv, self.conv_last):
            nn.init.xavier_normal_(convolution.weight, generator=generator)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # these convolutions have biases

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Return the restored LR."""
        features = self.conv_first(lr)
        features = features + self.trunk_conv(self.RRDB_trunk(features))
        result: torch.Tensor = self.conv_last(features)
        return result


def load_restore(tensors: Mapping[str, torch.Tensor], where: str) -> RestoreNetwork:
    """Build the restore module that a state holds, of any width and depth, in eval mode.

    Raises WeightsError, beginning with where, listing keys and shapes that do not fit.
    """
    with torch.device("meta"):
        network = RestoreNetwork(
            side(tensors, "conv_first.weight", 0, 64),
            _depth(tensors),
            side(tensors, "RRDB_trunk.0.RDB1.conv1.weight", 0, 32),
        )
    return load_strict(network, tensors, where)


def restore_margin(tensors: Mapping[str, torch.Tensor]) -> int:
    """Count the LR pixels seen beyond one: three dense blocks for each of the trunk, and three convolutions more."""
    return 3 * LAYERS * _depth(tensors) + 3


def _depth(tensors: Mapping[str, torch.Tensor]) -> int:
    return count_layers(tensors, r"RRDB_trunk\.(\d{1,3})\.") or 8

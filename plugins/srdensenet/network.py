"""SRDenseNet (Tong et al., ICCV 2017) as yjn870's port builds it, with that port's keys."""

from __future__ import annotations

import torch
from torch import nn

from rescale_bench.networks.residual import conv3
from rescale_bench.networks.super_resolution import SuperResolution

GROWTH, BLOCKS, LAYERS = 16, 8, 8
BLOCK = GROWTH * LAYERS
"""Channels that the first convolution and each block bring forth."""

BOTTLENECK = 256


class SrDenseNet(SuperResolution):
    """Map Y (N, 1, h, w) to (N, 1, 4h, 4w), both in [0, 1]; ReLUs after all but the last convolution."""

    def __init__(self, scale: int = 4) -> None:
        """Set the scale, 4: its two transposed convolutions enlarge by 2 each."""
        super().__init__(scale)
        self.conv = Layer(1, BLOCK)
        self.dense_blocks = nn.ModuleList(DenseBlock((block + 1) * BLOCK) for block in range(BLOCKS))
        self.bottleneck = nn.Sequential(nn.Conv2d((BLOCKS + 1) * BLOCK, BOTTLENECK, 1), nn.ReLU())
        self.deconv = nn.Sequential(*self._doubling(), *self._doubling())
        self.reconstruction = conv3(BOTTLENECK, 1)

    @staticmethod
    def _doubling() -> tuple[nn.Module, nn.Module]:
        return nn.ConvTranspose2d(BOTTLENECK, BOTTLENECK, 3, stride=2, padding=1, output_padding=1), nn.ReLU()

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore Y (Fig. 2c: all blocks' outputs are seen by the bottleneck)."""
        x = self.conv(lr)
        for block in self.dense_blocks:
            x = torch.cat([x, block(x)], 1)
        result: torch.Tensor = self.reconstruction(self.deconv(self.bottleneck(x)))
        return result


class DenseBlock(nn.Module):
    """Eight convolutions of 16 outputs, each on the outputs of all before; only the first sees the block's input."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        widths = [inputs, *(GROWTH * layer for layer in range(1, LAYERS))]
        self.block = nn.ModuleList(Layer(width, GROWTH) for width in widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, h, w) to (N, 128, h, w)."""
        first, *others = self.block
        dense: torch.Tensor = first(x)
        for layer in others:
            dense = torch.cat([dense, layer(dense)], 1)
        return dense


class Layer(nn.Module):
    """Compute relu(conv(x)); key `conv`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv3(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w)."""
        return torch.relu(self.conv(x))

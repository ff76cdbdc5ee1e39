"""RDN: the residual dense network (Zhang et al., CVPR 2018), with the keys of yjn870's port."""

from __future__ import annotations

import torch
from torch import nn

from rescale_bench.networks.residual import conv3, upsampler
from rescale_bench.networks.super_resolution import SuperResolution

WIDTH, GROWTH, BLOCKS, LAYERS = 64, 64, 16, 8


class Rdn(SuperResolution):
    """Map (N, 3, h, w) to (N, 3, s·h, s·w), both in [0, 1]; "configuration" D = 16, C = 8, G = 64."""

    def __init__(self, scale: int) -> None:
        """Set the scale: 2, 3 or 4."""
        super().__init__(scale)
        self.sfe1, self.sfe2 = conv3(3, WIDTH), conv3(WIDTH, WIDTH)
        self.rdbs = nn.ModuleList(DenseBlock() for _ in range(BLOCKS))
        self.gff = nn.Sequential(nn.Conv2d(BLOCKS * WIDTH, WIDTH, 1), conv3(WIDTH, WIDTH))
        self.upscale, self.output = upsampler(WIDTH, scale), conv3(WIDTH, 3)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image in [0, 1] (sec. 3.1, eq. 1 to 5)."""
        shallow = self.sfe1(lr)
        x, features = self.sfe2(shallow), []
        for block in self.rdbs:
            x = block(x)
            features.append(x)
        result: torch.Tensor = self.output(self.upscale(self.gff(torch.cat(features, 1)) + shallow))
        return result


class DenseBlock(nn.Module):
    """Eight convolutions of all before, fused to the width of the input, which is added (sec. 3.2, eq. 6 to 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(WIDTH + layer * GROWTH) for layer in range(LAYERS))
        self.lff = nn.Conv2d(WIDTH + LAYERS * GROWTH, WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w) to the same."""
        dense = x
        for layer in self.layers:
            dense = torch.cat([dense, layer(dense)], 1)
        result: torch.Tensor = self.lff(dense) + x
        return result


class DenseLayer(nn.Module):
    """Compute relu(conv(x)); key `conv`."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = conv3(inputs, GROWTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, h, w) to (N, 64, h, w)."""
        return torch.relu(self.conv(x))

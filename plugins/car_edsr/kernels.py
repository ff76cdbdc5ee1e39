"""CAR's resampler network: an image to the kernels and offsets that shrink it.

Source: Sun and Chen, "Learned Image Downscaling for Upscaling using Content Adaptive Resampler" (TIP 2020),
sec. 3.1, Fig. 2; layer sizes of the published weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.errors import WeightsError
from rescale_bench.networks.residual import MeanShift

SMALLEST = 1e-6


class Resampling(NamedTuple):
    """What the sampler needs for each LR pixel; all (N, k², h, w), taps row by row.

    kernels: weights, sum 1. offsets_h, offsets_v: moves of the taps in units of the scale, in [-1, 1].
    """

    kernels: torch.Tensor
    offsets_h: torch.Tensor
    offsets_v: torch.Tensor


@dataclass(frozen=True)
class KernelLayout:
    """The sizes that fix every tensor; the defaults are the published ones.

    scale: 2 or 4. early, middle, width: channels at full size, at 1/2 and 1/4, from 1/8 on. blocks: at 1/4.
    offsets: False leaves them out, as the paper's ablation does (Table 3): the taps stay on the grid.
    """

    scale: int
    early: int = 64
    middle: int = 128
    width: int = 256
    blocks: int = 5
    offsets: bool = True

    @property
    def side(self) -> int:
        """Give the kernel's side, 3·scale + 1."""
        return 3 * self.scale + 1

    @classmethod
    def infer(cls, tensors: Mapping[str, torch.Tensor], where: str) -> KernelLayout:
        """Read the layout off published keys and shapes. Raises WeightsError, beginning with where."""
        try:
            early, middle, width, taps = (
                tensors[f"{key}.weight"].shape[0]
                for key in ("ds_1.1", "ds_2.downsample.1", "ds_8.downsample.1", "kernels_weight.4")
            )
        except KeyError as error:
            raise WeightsError(f"{where}: not CAR's resampler network: no tensor {error}") from None
        blocks = {int(found[1]) for key in tensors if (found := re.match(r"res_4\.(\d+)\.", key))}
        scale = (math.isqrt(taps) - 1) // 3
        if scale not in (2, 4) or (3 * scale + 1) ** 2 != taps:
            raise WeightsError(f"{where}: kernels of {taps} taps; 49 (scale 2) or 169 (scale 4) are served")
        offsets = any(key.startswith("offsets_") for key in tensors)
        return cls(scale, early, middle, width, max(blocks, default=-1) + 1, offsets)


def _conv(inputs: int, outputs: int, side: int = 3) -> list[nn.Module]:
    """Make a convolution that pads by reflection."""
    return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inputs, outputs, side)]


class _Down(nn.Module):
    """Pixel-unshuffle by 2, then a 1×1 convolution: together a 2×2 convolution of stride 2, without the copy."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * inputs, outputs, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.downsample[1].weight, cast(torch.Tensor, self.downsample[1].bias)
        weight = cast(torch.Tensor, weight).reshape(-1, x.shape[1], 2, 2)
        return functional.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, stride=2)


class _Up(nn.Module):
    """A 1×1 convolution, then pixel-shuffle by a factor."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(nn.Conv2d(width, width * factor**2, 1), nn.PixelShuffle(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.upsample(x)
        return result


class _Block(nn.Module):
    """Compute x + conv(leaky(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(*_conv(width, width), nn.LeakyReLU(0.2, inplace=True), *_conv(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.transform(x).add_(x)
        return result


class KernelNetwork(nn.Module):
    """Predict kernels and offsets; keys as in published checkpoints."""

    def __init__(self, layout: KernelLayout) -> None:
        """Take the sizes."""
        super().__init__()
        self.layout = layout
        early, middle, width = layout.early, layout.middle, layout.width
        self.sub_mean = MeanShift(-1)
        self.ds_1 = nn.Sequential(*_conv(3, early, 5), nn.LeakyReLU(0.2, inplace=True))
        self.ds_2, self.ds_4 = _Down(early, middle), _Down(middle, middle)
        self.res_4 = nn.Sequential(*(_Block(middle) for _ in range(layout.blocks)))
        self.ds_8 = _Down(middle, width)
        self.kernels_trunk, self.kernels_weight = self._trunk(), self._head()
        if layout.offsets:
            self.offsets_trunk = self._trunk()
            self.offsets_h_generation, self.offsets_v_generation = self._head(), self._head()

    def heads(self) -> list[nn.Sequential]:
        """List the heads: kernels first, then both offsets where there are any."""
        offsets = [self.offsets_h_generation, self.offsets_v_generation] if self.layout.offsets else []
        return [self.kernels_weight, *offsets]

    def _trunk(self) -> nn.Sequential:
        width = self.layout.width
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [*_conv(width, width), nn.ReLU(inplace=True)]
        last = [*_conv(width, width), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers, _Up(width, 8 // self.layout.scale), *last)

    def _head(self) -> nn.Sequential:
        width = self.layout.width
        return nn.Sequential(*_conv(width, width), nn.ReLU(inplace=True), *_conv(width, self.layout.side**2))

    def forward(self, hr: torch.Tensor) -> Resampling:
        """Predict from (N, 3, H, W) in [0, 1], sides multiples of 8 and at least 16, for an LR of H/s × W/s."""
        x = self.ds_4(self.ds_2(self.ds_1(self.sub_mean(hr))))
        x = self.ds_8(self.res_4(x) + x)
        kernels = self.kernels_weight(self.kernels_trunk(x)).clamp(SMALLEST, 1)
        kernels = kernels / kernels.sum(1, keepdim=True).clamp(min=SMALLEST)
        if not self.layout.offsets:
            return Resampling(kernels, torch.zeros_like(kernels), torch.zeros_like(kernels))
        x = self.offsets_trunk(x)
        return Resampling(kernels, self.offsets_h_generation(x).tanh(), self.offsets_v_generation(x).tanh())


def initial_kernels(layout: KernelLayout, seed: int) -> dict[str, torch.Tensor]:
    """Draw a fresh state in the published layout from torch's default initialisation and a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KernelNetwork(layout).state_dict()

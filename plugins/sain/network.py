"""The self-asymmetric invertible network (SAIN, AAAI 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from rescale_bench.errors import WeightsError
from rescale_bench.networks.coupling import CouplingBlock, Pair
from rescale_bench.networks.dense import LAYERS, DenseBlock
from rescale_bench.networks.invertible import Haar, check_haar
from rescale_bench.networks.loading import count_layers, load_strict, side

KEPT = 3
"""Channels of the LR."""


@dataclass(frozen=True)
class Layout:
    """Sizes of a network: scale (2 or 4), E blocks, V blocks, growth of the dense blocks, Gaussians of the mixture."""

    scale: int
    enhanced: int
    plain: int
    growth: int = 32
    components: int = 5

    @property
    def channels(self) -> int:
        """Count the channels after the Haar transforms."""
        return KEPT * self.scale**2

    @property
    def margin(self) -> int:
        """Count the LR pixels that either direction sees beyond a pixel: two dense blocks in a chain per block."""
        return 2 * LAYERS * (self.enhanced + self.plain)


LAYOUTS = {"x2": Layout(2, 5, 3), "x4": Layout(4, 10, 6)}


class EnhancedBlock(CouplingBlock):
    """A coupling block in two steps for l: m = l + E(h), then m − F(h); the rest is IRN's.

    The last block's m is the LR before compression, and what F takes away stands for the codec.
    """

    def __init__(self, channels: int, growth: int) -> None:
        """Set the number of channels and the width of the sub-networks."""
        super().__init__(channels, KEPT, growth)
        self.E = DenseBlock(channels - KEPT, KEPT, growth)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw initial weights with which the block is the identity."""
        super().initialise(generator)
        self.E.initialise(generator)

    def middle(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Return m."""
        m: torch.Tensor = x1 + self.E(x2)
        return m

    def first(self, x1: torch.Tensor, x2: torch.Tensor) -> torch.Tensor:
        """Return the new l."""
        y1: torch.Tensor = self.middle(x1, x2) - self.F(x2)
        return y1

    def back(self, y1: torch.Tensor, y2: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return l, h and the m between: the inverse."""
        x2 = self.second(y1, y2)
        m = y1 + self.F(x2)
        return m - self.E(x2), x2, m

    def inverse(self, y1: torch.Tensor, y2: torch.Tensor) -> Pair:
        """Return l and h."""
        return self.back(y1, y2)[:2]


class Mixture(nn.Module):
    """The latent's distribution: for every element the same mixture of Gaussians.

    gmm_para: (3, components); rows are logits, means, and log-variances, which count within ±20.
    """

    def __init__(self, components: int) -> None:
        """Set the number of Gaussians."""
        super().__init__()
        self.gmm_para = nn.Parameter(torch.zeros(3, components))

    def initialise(self, generator: torch.Generator) -> None:
        """Set unit Gaussians of equal shares with means spread over -1 to 1, 0 on the average."""
        del generator
        with torch.no_grad():
            self.gmm_para.zero_()
            self.gmm_para[1] = torch.linspace(-1, 1, self.gmm_para.shape[1])

    @property
    def shares(self) -> torch.Tensor:
        """Return the probability of each Gaussian."""
        return self.gmm_para[0].softmax(0)

    @property
    def means(self) -> torch.Tensor:
        """Return the mean of each Gaussian."""
        return self.gmm_para[1]

    @property
    def deviations(self) -> torch.Tensor:
        """Return the standard deviation of each Gaussian."""
        return (self.gmm_para[2].clamp(-20, 20) / 2).exp()

    def mean(self) -> torch.Tensor:
        """Return the mean of the mixture, one number."""
        return (self.shares * self.means).sum()

    def draw(self, shape: torch.Size) -> torch.Tensor:
        """Draw elements from PyTorch's global CPU generator, so that they do not depend on the device: CPU only."""
        chosen = torch.multinomial(self.shares, shape.numel(), replacement=True).view(shape)
        return self.means[chosen] + self.deviations[chosen] * torch.randn(shape)


class Simulation(NamedTuple):
    """What the forward pass says of the LR, all at LR size.

    lr: before compression, unquantised, (N, 3, h, w). compressed: as the codec should leave it. latent: the rest.
    """

    lr: torch.Tensor
    compressed: torch.Tensor
    latent: torch.Tensor


class Sain(nn.Module):
    """Haar transforms, E blocks, V blocks; RGB in [0, 1], sides multiples of the scale, keys as published."""

    def __init__(self, layout: Layout) -> None:
        """Build the blocks with PyTorch's initial weights; `initialise` or a loaded state replaces them."""
        super().__init__()
        self.layout = layout
        steps, channels = layout.scale.bit_length() - 1, layout.channels
        self.haar_operations = nn.ModuleList(Haar(KEPT * 4**step) for step in range(steps))
        self.down_operations = nn.ModuleList(EnhancedBlock(channels, layout.growth) for _ in range(layout.enhanced))
        self.comp_operations = nn.ModuleList(CouplingBlock(channels, KEPT, layout.growth) for _ in range(layout.plain))
        self.gmm = Mixture(layout.components)

    def enhanced(self) -> list[EnhancedBlock]:
        """List the E blocks."""
        return cast(list[EnhancedBlock], list(self.down_operations))

    def plain(self) -> list[CouplingBlock]:
        """List the V blocks."""
        return cast(list[CouplingBlock], list(self.comp_operations))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw IRN's initial weights: every block the identity, the LR the block average."""
        for haar in self._haars():
            haar.initialise(generator)
        for block in (*self.enhanced(), *self.plain()):
            block.initialise(generator)
        self.gmm.initialise(generator)

    def forward(self, hr: torch.Tensor) -> Simulation:
        """Map (N, 3, H, W) to the LR before and after a simulated compression, and the latent."""
        *before, last = self.enhanced()
        pair = self._run(before, self._squeeze(hr))
        lr = last.middle(*pair)
        compressed, latent = self._run([last, *self.plain()], pair)
        return Simulation(lr, compressed, latent)

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """Return the unquantised LR before compression alone, without what comes after it."""
        *before, last = self.enhanced()
        return last.middle(*self._run(before, self._squeeze(hr)))

    def inverse(self, lr: torch.Tensor, latent: torch.Tensor) -> Pair:
        """Map a decoded LR and a latent to (N, 3, H, W), and the LR before compression that is met on the way."""
        pair = (lr, latent)
        for block in reversed(self.plain()):
            pair = block.inverse(*pair)
        *before, last = self.enhanced()
        low, high, simulated = last.back(*pair)
        pair = (low, high)
        for enhanced in reversed(before):
            pair = enhanced.inverse(*pair)
        hr = torch.cat(pair, 1)
        for haar in reversed(self._haars()):
            hr = haar.inverse(hr)
        return hr, simulated

    def _squeeze(self, hr: torch.Tensor) -> Pair:
        for haar in self._haars():
            hr = haar(hr)
        return hr[:, :KEPT], hr[:, KEPT:]

    def _haars(self) -> list[Haar]:
        return cast(list[Haar], list(self.haar_operations))

    @staticmethod
    def _run(blocks: Sequence[CouplingBlock], pair: Pair) -> Pair:
        for block in blocks:
            pair = block(*pair)[:2]
        return pair


def infer_layout(tensors: Mapping[str, torch.Tensor], published: Layout) -> Layout:
    """Read the layout off keys and shapes; what they leave open is taken from the published one."""
    width = side(tensors, "down_operations.0.E.conv1.weight", 1, published.channels - KEPT) + KEPT
    return Layout(
        scale=max(2, math.isqrt(width // KEPT)),
        enhanced=count_layers(tensors, r"down_operations\.(\d{1,3})\.") or published.enhanced,
        plain=count_layers(tensors, r"comp_operations\.(\d{1,3})\.") or published.plain,
        growth=side(tensors, "down_operations.0.E.conv1.weight", 0, published.growth),
        components=side(tensors, "gmm.gmm_para", 1, published.components),
    )


def load_network(tensors: Mapping[str, torch.Tensor], published: Layout, where: str) -> Sain:
    """Build the network that a state holds, of any width and depth but the published scale, in eval mode.

    Raises WeightsError, beginning with where, for another scale, keys, shapes or Haar constants.
    """
    layout = infer_layout(tensors, published)
    if layout.scale != published.scale:
        raise WeightsError(f"{where}: the weights are for scale {layout.scale}")
    with torch.device("meta"):
        network = Sain(layout)
    load_strict(network, tensors, where)
    check_haar(network, where)
    return network

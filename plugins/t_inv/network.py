"""Invertible networks of three branches: chroma, details and luma (T-IRN and T-SAIN, AAAI 2025)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from rescale_bench.errors import WeightsError
from rescale_bench.images.jfif import rgb_to_ycc, ycc_to_rgb
from rescale_bench.networks.dense import LAYERS, DenseBlock
from rescale_bench.networks.invertible import Haar, check_haar
from rescale_bench.networks.loading import count_layers, load_strict, side

CHAIN = 3
"""Dense blocks in a chain, the longest way through one block of three branches, in either direction."""


@dataclass(frozen=True)
class Layout:
    """Blocks after the first Haar transform, after the second (0 at ×2), and for the codec (0 in T-IRN); growth."""

    first: int
    second: int = 0
    after: int = 0
    growth: int = 32

    @property
    def scale(self) -> int:
        """Tell the scale."""
        return 4 if self.second else 2

    @property
    def details(self) -> int:
        """Count the channels of the latent."""
        return 3 * (self.scale**2 - 1)

    @property
    def margin(self) -> int:
        """Count the LR pixels that either direction sees beyond a pixel."""
        reach = CHAIN * LAYERS * self.first
        if self.second:
            reach = -(-reach // 2) + CHAIN * LAYERS * self.second
        return reach + CHAIN * LAYERS * self.after

    def __str__(self) -> str:
        """Print as "3 + 4 blocks and 0 for the codec, growth 32"."""
        blocks = f"{self.first} + {self.second}" if self.second else str(self.first)
        return f"{blocks} blocks and {self.after} for the codec, growth {self.growth}"


class Branches(NamedTuple):
    """Three groups of channels of one size: chroma (N, 2, h, w), details (N, C, h, w), luma (N, 1, h, w)."""

    chroma: torch.Tensor
    details: torch.Tensor
    luma: torch.Tensor

    @classmethod
    def of(cls, rgb: torch.Tensor, details: torch.Tensor) -> Branches:
        """Split RGB in [0, 1] into luma and chroma around 0.5."""
        luma, chroma = rgb_to_ycc(rgb)
        return cls(chroma + 0.5, details, luma)

    @property
    def rgb(self) -> torch.Tensor:
        """Join luma and chroma to RGB, clamped to [0, 1]."""
        return ycc_to_rgb(self.luma, self.chroma - 0.5).clamp(0, 1)


class TriBranchBlock(nn.Module):
    """An invertible step on three branches.

    c ← c + E(y) + F(h); y ← y + K(c) + L(h); h ← h·exp(σ̂(H(c)) + σ̂(J(y))) + G(c) + I(y), σ̂(t) = 2σ(t) − 1.
    """

    def __init__(self, details: int, growth: int) -> None:
        """Set the number of channels of h and the width of the sub-networks."""
        super().__init__()
        c, h, y = 2, details, 1
        self.E, self.F = DenseBlock(y, c, growth), DenseBlock(h, c, growth)
        self.G, self.H = DenseBlock(c, h, growth), DenseBlock(c, h, growth)
        self.I, self.J = DenseBlock(y, h, growth), DenseBlock(y, h, growth)
        self.K, self.L = DenseBlock(c, y, growth), DenseBlock(h, y, growth)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw IRN's initial weights, with which the block is the identity."""
        for block in self.children():
            cast(DenseBlock, block).initialise(generator)

    def forward(self, x: Branches) -> Branches:
        """Compute the step."""
        c, h, y = self.colours(x)
        return Branches(c, h * torch.exp(self._log_scale(c, y)) + self.G(c) + self.I(y), y)

    def colours(self, x: Branches) -> Branches:
        """Compute c and y alone and leave h: enough in the last block when only the LR is wanted."""
        c, h, y = x
        c = c + self.E(y) + self.F(h)
        return Branches(c, h, y + self.K(c) + self.L(h))

    def inverse(self, x: Branches) -> Branches:
        """Undo it."""
        c, h, y = x
        h = (h - self.G(c) - self.I(y)) * torch.exp(-self._log_scale(c, y))
        y = y - self.K(c) - self.L(h)
        return Branches(c - self.F(h) - self.E(y), h, y)

    def _log_scale(self, c: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.H(c) / 2) + torch.tanh(self.J(y) / 2)  # tanh(t/2) = 2σ(t) − 1


class Simulation(NamedTuple):
    """The forward pass: the LR and, as the codec should leave it, its simulation, both RGB (N, 3, h, w) in [0, 1].

    latent: the three branches after the last block.
    """

    lr: torch.Tensor
    compressed: torch.Tensor
    latent: Branches


class TriBranchNetwork(nn.Module):
    """Haar transforms and blocks of three branches; RGB in [0, 1], sides multiples of the scale, keys as published.

    Not exactly invertible: RGB is clamped whenever it is made of luma and chroma.
    """

    def __init__(self, layout: Layout) -> None:
        """Build the blocks with PyTorch's initial weights; `initialise` or a loaded state replaces them."""
        super().__init__()
        self.layout = layout
        self.haar_operations = nn.ModuleList([Haar(3)])
        self.down_operations = _blocks(layout.first, 9, layout.growth)
        if layout.second:
            self.haar_operations_2 = nn.ModuleList([Haar(12)])
            self.down_operations_2 = _blocks(layout.second, 45, layout.growth)
        if layout.after:
            self.comp_operations = _blocks(layout.after, layout.details, layout.growth)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw IRN's initial weights: every block the identity, the LR the block average."""
        for module in self.modules():
            if isinstance(module, Haar | TriBranchBlock):
                module.initialise(generator)

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to the LR (N, 3, h, w) in [0, 1], not rounded."""
        x = hr
        *before, (haar, (*blocks, last)) = self._levels()
        for level in before:
            x = _joined(_down(*level, x))
        return last.colours(_down(haar, blocks, x)).rgb

    def forward(self, hr: torch.Tensor) -> Simulation:
        """Map (N, 3, H, W) to the LR, its simulated compression and the latent."""
        joined = hr
        for haar, blocks in self._levels():
            x = _down(haar, blocks, joined)
            joined = _joined(x)
        after = _run(self._codec(), x)
        return Simulation(x.rgb, after.rgb, after)

    def inverse(self, lr: torch.Tensor, details: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map a decoded LR and a latent to (N, 3, H, W), unclamped, and the LR before compression met on the way."""
        x = _undo(self._codec(), Branches.of(lr, details))
        before = x.rgb
        for haar, blocks in reversed(self._levels()):
            x = _undo(blocks, x)
            joined = haar.inverse(_joined(x))
            if joined.shape[1] > 3:
                x = Branches.of(joined[:, :3], joined[:, 3:])
        return joined, before

    def _levels(self) -> list[tuple[Haar, list[TriBranchBlock]]]:
        """List the Haar transforms, each with the blocks that follow it."""
        levels = [(self.haar_operations, self.down_operations)]
        if self.layout.second:
            levels.append((self.haar_operations_2, self.down_operations_2))
        return [(cast(Haar, haars[0]), _listed(blocks)) for haars, blocks in levels]

    def _codec(self) -> list[TriBranchBlock]:
        return _listed(self.comp_operations) if self.layout.after else []


def _down(haar: Haar, blocks: Iterable[TriBranchBlock], x: torch.Tensor) -> Branches:
    y = haar(x)
    return _run(blocks, Branches.of(y[:, :3], y[:, 3:]))


def _joined(x: Branches) -> torch.Tensor:
    return torch.cat((x.rgb, x.details), 1)


def _blocks(count: int, details: int, growth: int) -> nn.ModuleList:
    return nn.ModuleList(TriBranchBlock(details, growth) for _ in range(count))


def _listed(blocks: nn.ModuleList) -> list[TriBranchBlock]:
    return cast(list[TriBranchBlock], list(blocks))


def _run(blocks: Iterable[TriBranchBlock], x: Branches) -> Branches:
    for block in blocks:
        x = block(x)
    return x


def _undo(blocks: list[TriBranchBlock], x: Branches) -> Branches:
    for block in reversed(blocks):
        x = block.inverse(x)
    return x


def infer_layout(tensors: Mapping[str, torch.Tensor], published: Layout) -> Layout:
    """Read the layout off keys and shapes; what they leave open is taken from the published one."""
    return Layout(
        first=count_layers(tensors, r"down_operations\.(\d{1,3})\.") or published.first,
        second=count_layers(tensors, r"down_operations_2\.(\d{1,3})\."),
        after=count_layers(tensors, r"comp_operations\.(\d{1,3})\."),
        growth=side(tensors, "down_operations.0.E.conv1.weight", 0, published.growth),
    )


def load_network(tensors: Mapping[str, torch.Tensor], published: Layout, where: str) -> TriBranchNetwork:
    """Build the network that a state holds, of any width and depth but the published structure, in eval mode.

    Raises WeightsError, beginning with where, for another scale, blocks for the codec where there should be none (or
    none where there should be some), keys, shapes or Haar constants.
    """
    layout = infer_layout(tensors, published)
    if layout.scale != published.scale or bool(layout.after) != bool(published.after):
        raise WeightsError(f"{where}: the weights hold {layout}, not {published}")
    with torch.device("meta"):
        network = TriBranchNetwork(layout)
    load_strict(network, tensors, where)
    check_haar(network, where)
    return network

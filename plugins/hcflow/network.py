"""The hierarchical conditional flow (HCFlow, ICCV 2021) for rescaling by 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.dense import LAYERS, DenseBlock
from rescale_bench.networks.invertible import Haar, check_haar
from rescale_bench.networks.loading import count_layers, load_strict, side
from rescale_bench.networks.residual import conv3
from rescale_bench.networks.rrdb import ResidualInResidual

from .layers import (
    KEPT,
    ActNorm,
    ConditionalStep,
    FlowStep,
    NormedConvolution,
    Permutation,
    ZeroConvolution,
    bounded,
    shift_and_scale,
)

SCALE = 4

DRAWN = (Haar, DenseBlock, ActNorm, NormedConvolution, ZeroConvolution, Permutation)
"""Layers that know their own initial weights."""


@dataclass(frozen=True)
class Layout:
    """Sizes of a network; the defaults are the published ones.

    steps: flow steps of a level. conditional: steps under the condition. blocks: RRDBs of a condition's network.
    channels: of the condition. growth: of the flow's dense blocks. condition_growth: of the RRDBs'.
    """

    steps: int = 8
    conditional: int = 6
    blocks: int = 3
    channels: int = 64
    growth: int = 32
    condition_growth: int = 16

    @property
    def margin(self) -> int:
        """Count the LR pixels that the inverse sees beyond a pixel; the forward pass sees less.

        A level chains: its condition (two convolutions and three dense blocks an RRDB), the zero-convolution, two 3×3
        convolutions a conditional step, one dense block a flow step. The second one's pixels are half as large.
        """
        level = 2 + 3 * LAYERS * self.blocks + 1 + 2 * self.conditional + LAYERS * self.steps
        return level - (-level // 2)


class Condition(nn.Module):
    """One level's conditional part: the condition u from what is known, and the flow of the details under it."""

    def __init__(self, known: int, details: int, layout: Layout) -> None:
        """Set the number of channels that the condition is computed from, and of the details."""
        super().__init__()
        width, growth = layout.channels, layout.condition_growth
        self.conv_first = conv3(known, width)
        self.RRDB_trunk0 = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(layout.blocks - 1)))
        self.RRDB_trunk1 = nn.Sequential(ResidualInResidual(width, growth))
        self.trunk_conv1 = conv3(width, width)
        self.f = ZeroConvolution(width, 2 * details)
        self.additional_flow_steps = nn.ModuleList(ConditionalStep(details, width) for _ in range(layout.conditional))

    def condition(self, known: torch.Tensor) -> torch.Tensor:
        """Compute u (N, channels, h, w) from (N, known, h, w)."""
        features = self.conv_first(known)
        u: torch.Tensor = self.trunk_conv1(self.RRDB_trunk1(self.RRDB_trunk0(features))) + features
        return u

    def forward(self, details: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Map details (N, details, h, w) to the latent z of the same shape."""
        for step in self._steps():
            details = step(details, u)
        mean, scale = shift_and_scale(self.f(u))
        return (details - mean) * torch.exp(-bounded(scale))

    def inverse(self, z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Map a latent to details."""
        mean, scale = shift_and_scale(self.f(u))
        details = mean + torch.exp(bounded(scale)) * z
        for step in reversed(self._steps()):
            details = step.inverse(details, u)
        return details

    def _steps(self) -> list[ConditionalStep]:
        return cast(list[ConditionalStep], list(self.additional_flow_steps))


class Flow(nn.Module):
    """Two levels of Haar transform, flow steps and a split, and the conditional part of each."""

    def __init__(self, layout: Layout) -> None:
        """Build all layers; the published keys count the splits too, which have no tensors."""
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (KEPT, 2 * KEPT):
            steps = (FlowStep(4 * channels, number, layout.growth) for number in range(layout.steps))
            layers += [Haar(channels), *steps, nn.Identity()]
        self.layers = nn.ModuleList(layers)
        self.level0_condFlow = Condition(2 * KEPT + layout.channels, 2 * KEPT, layout)
        self.level1_condFlow = Condition(KEPT, 7 * KEPT, layout)


class Latents(NamedTuple):
    """The forward pass: the unquantised LR (N, 3, h, w), and z of both levels, (N, 6, 2h, 2w) and (N, 21, h, w)."""

    lr: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor


class HcFlow(nn.Module):
    """Map HR to LR and details, and back; RGB in [0, 1], sides multiples of 4, keys as published."""

    def __init__(self, layout: Layout) -> None:
        """Build the layers with PyTorch's initial weights; `initialise` or a loaded state replaces them."""
        super().__init__()
        self.layout = layout
        self.flow = Flow(layout)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights with which every flow step is the identity, and the LR the block average."""
        for module in self.modules():
            if isinstance(module, DRAWN):
                module.initialise(generator)
        for condition in (self.flow.level0_condFlow, self.flow.level1_condFlow):
            for convolution in (condition.conv_first, condition.trunk_conv1):
                nn.init.xavier_normal_(convolution.weight, generator=generator)
                nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # these convolutions have biases

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to the unquantised LR (N, 3, h, w) alone."""
        return self._split(1, self._split(0, hr)[0])[0]

    def forward(self, hr: torch.Tensor) -> Latents:
        """Map (N, 3, H, W) to the unquantised LR and the latents of both levels."""
        middle, first = self._split(0, hr)
        lr, second = self._split(1, middle)
        inner = self.flow.level1_condFlow.condition(lr)
        outer = self._outer(middle, inner)
        return Latents(lr, self.flow.level0_condFlow(first, outer), self.flow.level1_condFlow(second, inner))

    def inverse(self, lr: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Map an LR and the latents of both levels, shaped as those of `forward`, back to (N, 3, H, W), unclamped."""
        inner = self.flow.level1_condFlow.condition(lr)
        details = self.flow.level1_condFlow.inverse(second, inner)
        middle = self._joined(1, torch.cat((lr, details), 1))
        details = self.flow.level0_condFlow.inverse(first, self._outer(middle, inner))
        return self._joined(0, torch.cat((middle, details), 1))

    def latent_shapes(self, lr: torch.Tensor) -> tuple[torch.Size, torch.Size]:
        """Tell the shapes of both latents of an LR (N, 3, h, w)."""
        count, _, height, width = lr.shape
        return torch.Size((count, 2 * KEPT, 2 * height, 2 * width)), torch.Size((count, 7 * KEPT, height, width))

    def _outer(self, middle: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        """Compute the condition of level 0 from its LR-like channels and the condition of level 1."""
        known = torch.cat((middle, functional.interpolate(inner, scale_factor=2, mode="nearest")), 1)
        return self.flow.level0_condFlow.condition(known)

    def _level(self, level: int) -> tuple[Haar, list[FlowStep]]:
        start = level * (self.layout.steps + 2)
        haar, *steps = self.flow.layers[start : start + self.layout.steps + 1]
        return cast(Haar, haar), cast(list[FlowStep], steps)

    def _split(self, level: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run a level's steps; give the channels that go on and the details."""
        haar, steps = self._level(level)
        x = haar(x)
        for step in steps:
            x = step(x)
        kept = 2 * KEPT if level == 0 else KEPT
        return x[:, :kept], x[:, kept:]

    def _joined(self, level: int, x: torch.Tensor) -> torch.Tensor:
        haar, steps = self._level(level)
        for step in reversed(steps):
            x = step.inverse(x)
        return haar.inverse(x)


def infer_layout(tensors: Mapping[str, torch.Tensor]) -> Layout:
    """Read the layout off keys and shapes; what they leave open is taken from the published one."""
    published, condition = Layout(), "flow.level1_condFlow"
    haars = (index for index in range(2, 1000) if f"flow.layers.{index}.haar_weights" in tensors)
    return Layout(
        steps=next(haars, published.steps + 2) - 2,
        conditional=count_layers(tensors, rf"{condition}\.additional_flow_steps\.(\d{{1,3}})\."),
        blocks=count_layers(tensors, rf"{condition}\.RRDB_trunk0\.(\d{{1,3}})\.") + 1,
        channels=side(tensors, f"{condition}.conv_first.weight", 0, published.channels),
        growth=side(tensors, "flow.layers.1.affine.f.conv1.weight", 0, published.growth),
        condition_growth=side(tensors, f"{condition}.RRDB_trunk1.0.RDB1.conv1.weight", 0, published.condition_growth),
    )


def load_network(tensors: Mapping[str, torch.Tensor], where: str) -> HcFlow:
    """Build the network that a state holds, of any width and depth, in eval mode.

    Raises WeightsError, beginning with where, for keys, shapes or Haar constants that do not fit.
    """
    with torch.device("meta"):
        network = HcFlow(infer_layout(tensors))
    load_strict(network, tensors, where)
    check_haar(network, where)
    return network

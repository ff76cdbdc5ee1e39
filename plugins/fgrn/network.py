"""The flow-guided rescaling network (FGRN, BMVC 2021); widths and depths as in the project's specification."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.errors import WeightsError
from rescale_bench.machine.profiling import counting
from rescale_bench.networks.coupling import CouplingBlock
from rescale_bench.networks.lines import Layer, Skip, convolution, stream
from rescale_bench.networks.loading import count_layers, load_strict, side
from rescale_bench.networks.quantise import quantise
from rescale_bench.networks.residual import ResidualBlock, channels_last, conv3


@dataclass(frozen=True)
class Layout:
    """Widths and depths: the paper gives none, these reproduce its parameter counts.

    blocks: residual blocks of either half. cells: of the flow. bounded: β in (−1, 1).
    """

    scale: int
    blocks: int
    cells: int
    channels: int = 64
    growth: int = 32
    bounded: bool = True


LAYOUTS = {"x2": Layout(2, blocks=6, cells=2), "x4": Layout(4, blocks=17, cells=4)}


class ResidualTrunk(nn.Module):
    """A convolution, residual blocks with a closing convolution and a skip, a convolution; keeps the size."""

    def __init__(self, inputs: int, outputs: int, layout: Layout) -> None:
        """Set the widths."""
        super().__init__()
        self.head = conv3(inputs, layout.channels)
        self.blocks = nn.Sequential(*(ResidualBlock(layout.channels) for _ in range(layout.blocks)))
        self.closing = conv3(layout.channels, layout.channels)
        self.tail = conv3(layout.channels, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h, w); whole for training, else as a stream of rows, equally."""
        if not (torch.is_grad_enabled() or self.training or counting()):
            return torch.cat([self._streamed(single) for single in torch.split(x, 1)])
        features = self.head(x)
        result: torch.Tensor = self.tail(features + self.closing(self.blocks(features)))
        return result

    def _streamed(self, x: torch.Tensor) -> torch.Tensor:
        layers: list[Layer] = [convolution(self.head)]
        layers += [cast(ResidualBlock, block).streamed() for block in self.blocks]
        layers += [convolution(self.closing), Skip(convolution(self.head), x), convolution(self.tail)]
        return torch.cat(list(stream(x, self.head.out_channels, layers)), 2)


class Flow(nn.Module):
    """The flow guidance module: cells of Eq. 5 on the split 1 | 2; in the keys, F is α, G is φ, H is β."""

    def __init__(self, layout: Layout) -> None:
        """Build the cells."""
        super().__init__()
        self.cells = nn.ModuleList(CouplingBlock(3, 1, layout.growth, layout.bounded) for _ in range(layout.cells))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map x (N, 3, h, w) to the representation (N, 3, h, w) and log|det| (N,), the sum of β over cells."""
        first, second = x[:, :1], x[:, 1:]
        log_det = x.new_zeros(len(x))
        for cell in self.cells:
            first, second, log_scale = cell(first, second)
            log_det = log_det + log_scale.sum((1, 2, 3))
        return torch.cat((first, second), 1), log_det

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo forward (Eq. 6)."""
        pair = (y[:, :1], y[:, 1:])
        for cell in reversed(cast(list[CouplingBlock], list(self.cells))):
            pair = cell.inverse(*pair)
        return torch.cat(pair, 1)


class Outputs(NamedTuple):
    """What the losses of sec. 3.4 need.

    squeezed, x: output of the downscaler before and after quantisation, (N, 3, h, w). restored: Gu(x), (N, 3, H, W).
    guided: F(x) unquantised, cut off from the downscaler, (N, 3, h, w). log_det: log|det| of the flow, (N,).
    """

    squeezed: torch.Tensor
    x: torch.Tensor
    restored: torch.Tensor
    guided: torch.Tensor
    log_det: torch.Tensor


class FlowGuidedNetwork(nn.Module):
    """Downscaler Gd, flow F and upscaler Gu; RGB in [0, 1], sides multiples of the scale.

    Keys `down.…`, `flow.cells.{k}.{F,G,H}.conv{1..5}`, `up.…` with `head`, `blocks.{i}.body.{0,2}`, `closing`, `tail`.
    """

    def __init__(self, layout: Layout) -> None:
        """Build the three with PyTorch's initial weights; `initialise` or a loaded state replaces them."""
        super().__init__()
        self.layout = layout
        pixels = 3 * layout.scale**2
        self.down = ResidualTrunk(pixels, 3, layout)
        self.up = ResidualTrunk(3, pixels, layout)
        self.flow = Flow(layout)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Kaiming uniform weights with zero biases; the flow begins as the identity.

        The second convolution of each residual block is scaled by 0.1, which keeps deep trunks stable.
        """
        for trunk in (self.down, self.up):
            for name, module in trunk.named_modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=generator)
                    nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # every convolution here has a bias
                    if name.endswith("body.2"):
                        module.weight.detach().mul_(0.1)
        for cell in cast(list[CouplingBlock], list(self.flow.cells)):
            cell.initialise(generator)

    def squeeze(self, hr: torch.Tensor) -> torch.Tensor:
        """Compute Gd: (N, 3, H, W) to (N, 3, h, w), unquantised."""
        result: torch.Tensor = self.down(functional.pixel_unshuffle(hr, self.layout.scale))
        return result

    def restore(self, x: torch.Tensor) -> torch.Tensor:
        """Compute Gu: (N, 3, h, w) to (N, 3, H, W), unclamped."""
        return functional.pixel_shuffle(self.up(x), self.layout.scale)

    def forward(self, hr: torch.Tensor) -> Outputs:
        """Run everything that training needs on (N, 3, H, W)."""
        squeezed = self.squeeze(hr)
        x = quantise(squeezed)
        guided, log_det = self.flow(x.detach())
        return Outputs(squeezed, x, self.restore(x), guided, log_det)

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """Return the 8-bit LR Q(F(Q(Gd(hr)))), as the paper's test does."""
        return quantise(self.flow(quantise(self.squeeze(hr)))[0])

    def upscale(self, lr: torch.Tensor) -> torch.Tensor:
        """Return Gu(Q(F⁻¹(lr)))."""
        return self.restore(quantise(self.flow.inverse(lr)))


def infer_layout(tensors: Mapping[str, torch.Tensor], published: Layout, bounded: bool) -> Layout:
    """Read the layout off keys and shapes; what they leave open is taken from the published one."""
    return Layout(
        scale=max(1, math.isqrt(side(tensors, "down.head.weight", 1, 3 * published.scale**2) // 3)),
        blocks=count_layers(tensors, r"down\.blocks\.(\d{1,3})\.") or published.blocks,
        cells=count_layers(tensors, r"flow\.cells\.(\d{1,3})\.") or published.cells,
        channels=side(tensors, "down.head.weight", 0, published.channels),
        growth=side(tensors, "flow.cells.0.F.conv1.weight", 0, published.growth),
        bounded=bounded,
    )


def load_network(tensors: Mapping[str, torch.Tensor], part: str, bounded: bool, where: str) -> FlowGuidedNetwork:
    """Build the network that a state holds, of any width and depth, in eval mode.

    Raises WeightsError, beginning with where, for another scale, keys or shapes.
    """
    layout = infer_layout(tensors, LAYOUTS[part], bounded)
    if layout.scale != LAYOUTS[part].scale:
        raise WeightsError(f"{where}: the weights are for scale {layout.scale}")
    with torch.device("meta"):
        network = FlowGuidedNetwork(layout)
    load_strict(network, tensors, where)
    channels_last(network.down)
    channels_last(network.up)
    return network

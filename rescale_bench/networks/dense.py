"""Dense blocks of five 3×3 convolutions: the sub-networks F, G, H of IRN and FGRN, and those of RRDBs.

Training and devices other than the CPU use the formula as written. CPU inference uses an equal
rearrangement: instead of concatenating, each new feature is convolved once for all later layers and
the results accumulate, channels-last, which keeps every convolution's shape friendly to the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.machine.profiling import counting

SLOPE = 0.2
"""Of the LeakyReLU."""

LAYERS = 5


@dataclass(frozen=True)
class Packed:
    """Weights of a dense block arranged for scattering.

    weights: per source (input, feature 1..4) one (targets, source channels, 3, 3) tensor over all later layers.
    bias: (4 growth + padded outputs,). stamp: what the weights were packed from.
    """

    weights: tuple[torch.Tensor, ...]
    bias: torch.Tensor
    stamp: tuple[tuple[int, int], ...]


class DenseBlock(nn.Module):
    """Four 3×3 convolutions of `growth` outputs on everything before, LeakyReLU 0.2, and a plain fifth.

    Maps (N, inputs, H, W) to (N, outputs, H, W). Keys `conv1` to `conv5`. Source: IRN (IJCV 2022), sec. 3.2.
    """

    def __init__(self, inputs: int, outputs: int, growth: int = 32) -> None:
        """Set the widths."""
        super().__init__()
        self.inputs, self.outputs, self.growth = inputs, outputs, growth
        for layer in range(LAYERS):
            width = growth if layer < LAYERS - 1 else outputs
            self.add_module(f"conv{layer + 1}", nn.Conv2d(inputs + layer * growth, width, 3, padding=1))
        self._packed: Packed | None = None

    def convolutions(self) -> list[nn.Conv2d]:
        """List conv1 to conv5."""
        return [module for module in self.children() if isinstance(module, nn.Conv2d)]

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the paper's initial weights: Xavier normal × 0.1, zero for the fifth convolution and all biases."""
        for convolution in self.convolutions():
            nn.init.xavier_normal_(convolution.weight, gain=0.1, generator=generator)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # every convolution here has a bias
        nn.init.zeros_(self.convolutions()[-1].weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        if self.training or torch.is_grad_enabled() or x.device.type != "cpu" or x.dtype != torch.float32 or counting():
            return self._concatenate(x)
        return self._scatter(x)

    def _concatenate(self, x: torch.Tensor) -> torch.Tensor:
        *hidden, last = self.convolutions()
        features = [x]
        for convolution in hidden:
            features.append(functional.leaky_relu(convolution(torch.cat(features, 1)), SLOPE))
        result: torch.Tensor = last(torch.cat(features, 1))
        return result

    def _scatter(self, x: torch.Tensor) -> torch.Tensor:
        packed = self._pack()
        pending = functional.conv2d(x, packed.weights[0], packed.bias, padding=1)
        # With one input channel, layouts are ambiguous and the result may come back in the other one.
        pending = pending.contiguous(memory_format=torch.channels_last)
        for weight in packed.weights[1:]:
            feature = functional.leaky_relu(pending[:, : self.growth], SLOPE)
            later = pending[:, self.growth :]
            pending = functional.conv2d(feature, weight, padding=1).add_(later)
        return pending[:, : self.outputs]

    def _pack(self) -> Packed:
        """Return the rearranged weights, made once and again whenever the weights were replaced or written to."""
        if torch.compiler.is_compiling() and self._packed is not None:
            return self._packed  # compiled networks are not trained any more; the stamps would end up in the graph
        stamp = tuple(_stamp(parameter) for parameter in self.parameters())
        if self._packed is None or self._packed.stamp != stamp:
            self._packed = pack(self, stamp)
        return self._packed


def prepare(network: nn.Module) -> None:
    """Rearrange the weights of all dense blocks of a network now, for what is compiled cannot do it later."""
    for block in network.modules():
        if isinstance(block, DenseBlock):
            block._pack()


def _stamp(parameter: torch.Tensor) -> tuple[int, int]:
    # Inference tensors carry no version; nothing can train them either.
    return parameter.data_ptr(), 0 if parameter.is_inference() else parameter._version


def pack(block: DenseBlock, stamp: tuple[tuple[int, int], ...] = ()) -> Packed:
    """Cut the convolutions of a block by source and join them by target.

    The outputs are padded with zero filters to a multiple of the CPU's vector length, for which it has faster kernels.
    """
    convolutions = block.convolutions()
    idle = -block.outputs % (16 if "AVX512" in torch.backends.cpu.get_cpu_capability() else 8)
    ends = [block.inputs + layer * block.growth for layer in range(LAYERS)]
    weights = []
    for source, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        parts = [convolution.weight.detach()[:, start:end] for convolution in convolutions[source:]]
        parts.append(parts[0].new_zeros(idle, end - start, 3, 3))
        weights.append(torch.cat(parts).contiguous(memory_format=torch.channels_last))
    biases = [convolution.bias.detach() for convolution in convolutions if convolution.bias is not None]
    return Packed(tuple(weights), torch.cat([*biases, biases[0].new_zeros(idle)]), stamp)

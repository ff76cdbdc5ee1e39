"""Starting points for short trainings: networks that begin as plain image resamplers instead of noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from rescale_bench.networks.dense import DenseBlock
from rescale_bench.networks.edsr import Edsr

QUIET = 0.1
"""What the other paths through the network are multiplied by at the start."""


@torch.no_grad()
def pass_colours(convolution: nn.Conv2d, sources: Sequence[Sequence[int]]) -> None:
    """Let output channel o of a convolution be the mean of its input channels sources[o] at the start.

    Channels without an entry keep their weights. The bias of the others becomes 0.
    """
    middle = convolution.kernel_size[0] // 2
    for output, inputs in enumerate(sources):
        convolution.weight[output] = 0
        for channel in inputs:
            convolution.weight[output, channel, middle, middle] = 1 / len(inputs)
        if convolution.bias is not None:
            convolution.bias[output] = 0


@torch.no_grad()
def hush(layers: Iterable[nn.Module], gain: float = QUIET) -> None:
    """Multiply the weights and biases of convolutions by a gain, so that what they add is small at the start."""
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            parameter.mul_(gain)


@torch.no_grad()
def widen(network: nn.Module, gain: float) -> None:
    """Multiply the initial hidden weights of the dense blocks; the paper's, a tenth of Xavier's, wake up slowly."""
    for module in network.modules():
        if isinstance(module, DenseBlock):
            for convolution in module.convolutions():
                convolution.weight.mul_(gain)


def start_edsr(network: Edsr) -> None:
    """Let an EDSR begin as enlargement by pixel repetition."""
    pass_colours(_convolution(network.head[0]), [[0], [1], [2]])
    hush([network.body[network.layout.blocks]])
    upsampler, last = network.tail[0], _convolution(network.tail[1])
    layers = list(upsampler.children())
    for layer, shuffle in zip(layers[::2], layers[1::2], strict=True):
        copies = int(shuffle.upscale_factor) ** 2 if isinstance(shuffle, nn.PixelShuffle) else 1
        pass_colours(_convolution(layer), [[colour] for colour in range(3) for _ in range(copies)])
    hush([last])
    pass_colours(last, [[0], [1], [2]])


def _convolution(layer: nn.Module) -> nn.Conv2d:
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"{type(layer).__name__} where a convolution stands in EDSR")
    return layer

"""Scale-aware feature adaption (Xing et al., arXiv 2201.12576)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.lines import Convolution, Lines
from rescale_bench.networks.residual import conv3
from rescale_bench.networks.scale_aware import ExpertKernel, folded

from .layout import AidnLayout


class ScaleAdaption(nn.Module):
    """Compute x + mask(x) · conv(x, Σ rₙ Eₙ), r from the scale."""

    def __init__(self, layout: AidnLayout) -> None:
        """Take the sizes."""
        super().__init__()
        inputs, narrow = layout.width, layout.mask_width
        layers: list[nn.Module] = []
        for outputs in (narrow, narrow, narrow, 1):
            layers += [conv3(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        layers[-1] = nn.Sigmoid()
        self.mask = nn.Sequential(*layers)
        self.adapt = ExpertKernel(layout.width, layout.kernels, layout.routing_width)

    def forward(self, x: torch.Tensor, step: float) -> torch.Tensor:
        """Adapt features (N, width, H, W) to 1/σ."""
        mask: torch.Tensor = self.mask(x)
        return x + mask * functional.conv2d(x, self.adapt((step, step)), padding=1)

    def streamed(self, step: float) -> StreamedAdaption:
        """Give the same for a stream of rows, batch norm folded into the convolutions; not for autograd."""
        pairs = [(self.mask[index], self.mask[index + 1]) for index in range(0, len(self.mask), 3)]
        mask = [folded(conv, norm) for conv, norm in pairs]
        return StreamedAdaption(self.adapt((step, step)).contiguous(memory_format=torch.channels_last), mask)


class StreamedAdaption:
    """Scale-aware adaption of a stream, four rows late: as many as the mask has convolutions."""

    def __init__(self, kernel: torch.Tensor, mask: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Take the kernel of the scale, and the weights and biases of the mask network."""
        self.kernel, self.first = kernel, mask[0]
        self.rest = [Convolution(*layer, relu=layer is not mask[-1]) for layer in mask[1:]]
        self.input, self.begun, self.done = Lines(len(mask) + 1), 0, 0

    def push(self, rows: torch.Tensor, last: bool) -> torch.Tensor:
        """Return the adapted rows."""
        self.input.push(rows, last)
        mask = self.input.convolve(self.begun, *self.first).relu_()
        self.begun += mask.shape[2]
        for layer in self.rest:
            mask = layer.push(mask, last)
        stop = self.done + mask.shape[2]
        result = self.input.convolve(self.done, self.kernel, None, stop)
        if stop > self.done:
            result = result.mul_(mask.sigmoid_()).add_(self.input.rows(self.done, stop))
        self.done = stop
        self.input.forget()
        return result

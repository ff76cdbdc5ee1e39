"""Scale-aware feature adaption (Xing et al., arXiv 2201.12576)."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.residual import conv3, refine

from .layout import AidnLayout


class ExpertKernel(nn.Module):
    """Mix expert kernels to one 3×3 kernel for a scale."""

    def __init__(self, layout: AidnLayout) -> None:
        """Draw the experts as torch draws a convolution's weights."""
        super().__init__()
        width = layout.width
        self.weight_pool = nn.Parameter(torch.empty(layout.kernels, width, width, 3, 3))
        self.routing = nn.Sequential(
            nn.Linear(2, layout.routing_width), nn.ReLU(), nn.Linear(layout.routing_width, layout.kernels)
        )
        bound = 1 / math.sqrt(9 * width)
        nn.init.uniform_(self.weight_pool, -bound, bound)

    def forward(self, step: float) -> torch.Tensor:
        """Return the kernel (width, width, 3, 3) for 1/σ, source pixels per output pixel."""
        shares = self.routing(self.weight_pool.new_full((2,), step)).softmax(0)
        return torch.einsum("e,eoiyx->oiyx", shares, self.weight_pool)


class ScaleAdaption(nn.Module):
    """Compute x + mask(x) · conv(x, Σ rₙ Eₙ), r from the scale.

    halo: rows around a strip that its result depends on (the mask's four convolutions).
    """

    halo = 4

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
        self.adapt = ExpertKernel(layout)

    def forward(self, x: torch.Tensor, step: float) -> torch.Tensor:
        """Adapt features (N, width, H, W) to 1/σ."""
        mask: torch.Tensor = self.mask(x)
        return x + mask * functional.conv2d(x, self.adapt(step), padding=1)

    def refine(self, x: torch.Tensor, step: float) -> None:
        """Adapt features in place, in strips of rows, batch norm folded into the convolutions; not for autograd."""
        kernel = self.adapt(step).contiguous(memory_format=torch.channels_last)
        pairs = [(self.mask[index], self.mask[index + 1]) for index in range(0, len(self.mask), 3)]
        layers = [_fold(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)) for conv, norm in pairs]

        def adapted(window: torch.Tensor, rows: slice) -> torch.Tensor:
            del rows
            mask = window
            for weight, bias in layers[:-1]:
                mask = functional.conv2d(mask, weight, bias, padding=1).relu_()
            mask = functional.conv2d(mask, *layers[-1], padding=1).sigmoid_()
            return functional.conv2d(window, kernel, padding=1).mul_(mask).add_(window)

        refine(x, self.halo, adapted)


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold a batch norm in eval mode into the convolution before it: (weight, bias)."""
    mean, variance = cast(torch.Tensor, norm.running_mean), cast(torch.Tensor, norm.running_var)
    gain = norm.weight * torch.rsqrt(variance + norm.eps)
    weight = (conv.weight * gain[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    return weight, (cast(torch.Tensor, conv.bias) - mean) * gain + norm.bias

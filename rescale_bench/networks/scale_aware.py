"""Experts mixed by a scale: one kernel for a whole image, or one small matrix for every pixel.

Sources: Wang et al., ArbSR (ICCV 2021); Xing et al., AIDN (arXiv 2201.12576), which took both modules over from it.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import nn
from torch.nn import functional


class ExpertKernel(nn.Module):
    """Mix expert kernels to one 3×3 kernel for a scale."""

    def __init__(self, width: int, kernels: int, routing_width: int) -> None:
        """Draw the experts as torch draws a convolution's weights."""
        super().__init__()
        self.weight_pool = nn.Parameter(torch.empty(kernels, width, width, 3, 3))
        self.routing = nn.Sequential(nn.Linear(2, routing_width), nn.ReLU(), nn.Linear(routing_width, kernels))
        bound = 1 / math.sqrt(9 * width)
        nn.init.uniform_(self.weight_pool, -bound, bound)

    def forward(self, steps: tuple[float, float]) -> torch.Tensor:
        """Return the kernel (width, width, 3, 3) for source pixels per output pixel, vertical and horizontal."""
        return torch.einsum("e,eoiyx->oiyx", self.shares(steps), self.weight_pool)

    def shares(self, steps: tuple[float, float]) -> torch.Tensor:
        """Return how much of each expert a scale takes, (kernels,), with sum 1."""
        given = torch.tensor(steps, dtype=self.weight_pool.dtype, device=self.weight_pool.device)
        shares: torch.Tensor = self.routing(given).softmax(0)
        return shares


class ExpertResampling(nn.Module):
    """f + (Σ wₙ Expandₙ)(Σ wₙ Compressₙ) f for every pixel, f sampled at a predicted offset, w predicted too.

    The per-pixel matrices are never built: every expert compresses f, the results are mixed by w to h, and
    w ⊗ h is expanded by all experts at once.
    """

    def __init__(self, inputs: int, width: int, experts: int, reduced: int) -> None:
        """Draw the experts as torch draws a convolution's weights. inputs: channels that the prediction sees."""
        super().__init__()
        self.weight_compress = nn.Parameter(torch.empty(experts, reduced, width, 1, 1))
        self.weight_expand = nn.Parameter(torch.empty(experts, width, reduced, 1, 1))
        self.body = nn.Sequential(nn.Conv2d(inputs, width, 1), nn.ReLU(True), nn.Conv2d(width, width, 1), nn.ReLU(True))
        self.routing = nn.Sequential(nn.Conv2d(width, experts, 1), nn.Sigmoid())
        self.offset = nn.Conv2d(width, 2, 1)
        for pool, fan in ((self.weight_compress, width), (self.weight_expand, reduced)):
            nn.init.uniform_(pool, -1 / math.sqrt(fan), 1 / math.sqrt(fan))

    def compress(self) -> torch.Tensor:
        """Return all compressing experts as one matrix (experts·reduced, width)."""
        return self.weight_compress.flatten(0, 1).flatten(1)

    def expand(self) -> torch.Tensor:
        """Return all expanding experts as one matrix (width, experts·reduced)."""
        return self.weight_expand.flatten(2).transpose(0, 1).flatten(1)

    def predict(self, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict from (N, inputs, H, W) offsets (N, 2, H, W), x before y, and shares (N, experts, H, W)."""
        hidden = self.body(given)
        return self.offset(hidden), self.routing(hidden)

    def mix(self, sampled: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Apply the experts to f (N, width, H, W); for autograd."""
        size = sampled.shape[-2:]
        mixed = functional.conv2d(sampled, self.compress()[:, :, None, None])
        mixed = (mixed.view(*shares.shape[:2], -1, *size) * shares[:, :, None]).sum(1)
        outer = (shares[:, :, None] * mixed[:, None]).flatten(1, 2)
        return sampled + functional.conv2d(outer, self.expand()[:, :, None, None])


def mix_pixels(
    sampled: torch.Tensor, shares: torch.Tensor, compress: torch.Tensor, expand: torch.Tensor
) -> torch.Tensor:
    """Apply the experts, as the matrices of an ExpertResampling, to pixels f (P, width) in place.

    shares: (P, experts). Returns (P, width).
    """
    mixed = functional.linear(sampled, compress).view(*shares.shape, -1)
    mixed = mixed.mul_(shares[:, :, None]).sum(1)
    outer = (shares[:, :, None] * mixed[:, None]).flatten(1)
    return sampled.addmm_(outer, expand.T)


def folded(convolution: nn.Module, norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold a batch norm in eval mode into the convolution before it: (weight, bias), the weight channels last."""
    conv, batch_norm = cast(nn.Conv2d, convolution), cast(nn.BatchNorm2d, norm)
    mean, variance = cast(torch.Tensor, batch_norm.running_mean), cast(torch.Tensor, batch_norm.running_var)
    gain = batch_norm.weight * torch.rsqrt(variance + batch_norm.eps)
    weight = (conv.weight * gain[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    return weight, (cast(torch.Tensor, conv.bias) - mean) * gain + batch_norm.bias

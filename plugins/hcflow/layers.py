"""Layers of the flow: act-norm, alternating coupling, and couplings that a condition steers (HCFlow, ICCV 2021)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.dense import DenseBlock
from rescale_bench.networks.invertible import inverted, mix

KEPT = 3
"""Channels that carry the LR."""


def bounded(t: torch.Tensor) -> torch.Tensor:
    """Compute the logarithm of a scale from a raw output: 0.318·atan(2t), within ±0.5."""
    return 0.318 * torch.atan(2 * t)


def shift_and_scale(pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take an output apart: channels 0, 2, 4, … are shifts, 1, 3, 5, … raw log-scales."""
    return pairs[:, 0::2], pairs[:, 1::2]


class ActNorm(nn.Module):
    """(x + bias)·exp(logs) per channel. Never initialised from data here: that would overwrite loaded weights."""

    def __init__(self, channels: int) -> None:
        """Begin as the identity."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.logs = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Set the identity."""
        del generator
        nn.init.zeros_(self.bias)
        nn.init.zeros_(self.logs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, H, W)."""
        return (x + self.bias) * torch.exp(self.logs)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        return y * torch.exp(-self.logs) - self.bias


class Affine(nn.Module):
    """Holder of a coupling's network, named `f` in the published keys."""

    def __init__(self, network: nn.Module) -> None:
        """Take the network."""
        super().__init__()
        self.f = network


class FlowStep(nn.Module):
    """Act-norm, then a coupling of l (the first 3 channels) and h (the rest).

    Even steps: h ← (h + shift)·exp(scale), both from l. Odd steps: l ← l + f(h).
    """

    def __init__(self, channels: int, number: int, growth: int) -> None:
        """Set the number of channels, the step's own, and the width of the dense block."""
        super().__init__()
        self.even, rest = number % 2 == 0, channels - KEPT
        self.actnorm = ActNorm(channels)
        self.affine = Affine(DenseBlock(KEPT, 2 * rest, growth) if self.even else DenseBlock(rest, KEPT, growth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        x = self.actnorm(x)
        low, high = x[:, :KEPT], x[:, KEPT:]
        if self.even:
            shift, scale = shift_and_scale(self.affine.f(low))
            high = (high + shift) * torch.exp(bounded(scale))
        else:
            low = low + self.affine.f(high)
        return torch.cat((low, high), 1)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        low, high = y[:, :KEPT], y[:, KEPT:]
        if self.even:
            shift, scale = shift_and_scale(self.affine.f(low))
            high = high * torch.exp(-bounded(scale)) - shift
        else:
            low = low - self.affine.f(high)
        x: torch.Tensor = self.actnorm.inverse(torch.cat((low, high), 1))
        return x


class NormedConvolution(nn.Module):
    """A convolution without bias followed by act-norm, computed as one convolution."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        """Set the widths and the side of the kernel."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, side, side))
        self.actnorm = ActNorm(outputs)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw weights of N(0, 0.05²), as flows of this kind begin (Kingma and Dhariwal, Glow, NeurIPS 2018)."""
        nn.init.normal_(self.weight, std=0.05, generator=generator)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        gain = torch.exp(self.actnorm.logs).flatten()
        weight = self.weight * gain[:, None, None, None]
        return functional.conv2d(x, weight, self.actnorm.bias.flatten() * gain, padding=self.weight.shape[-1] // 2)


class ZeroConvolution(nn.Module):
    """A 3×3 convolution times exp(3·logs) per channel, which begins as zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Set the widths."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.logs = nn.Parameter(torch.zeros(outputs, 1, 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Set zeros."""
        del generator
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        gain = torch.exp(3 * self.logs)
        return functional.conv2d(x, self.weight * gain[..., None], self.bias * gain.flatten(), padding=1)


class SteeringNetwork(nn.Module):
    """Three convolutions from the untouched channels and the condition to shifts and scales."""

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        """Set the widths."""
        super().__init__()
        self.conv1 = NormedConvolution(inputs, hidden, 3)
        self.conv2 = NormedConvolution(hidden, hidden, 1)
        self.conv3 = ZeroConvolution(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        result: torch.Tensor = self.conv3(self.conv2(self.conv1(x).relu()).relu())
        return result


class Permutation(nn.Module):
    """An invertible matrix over the channels."""

    def __init__(self, channels: int) -> None:
        """Hold the matrix."""
        super().__init__()
        self.weight = nn.Parameter(torch.eye(channels))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw a rotation."""
        with torch.no_grad():
            self.weight.copy_(torch.linalg.qr(torch.randn(self.weight.shape, generator=generator))[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the channels of (N, C, H, W)."""
        return mix(self.weight, x)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        return mix(inverted(self.weight), y)


class ConditionalStep(nn.Module):
    """Act-norm, a matrix over the channels, then a coupling whose network also sees the condition u.

    The first half of the channels (rounded down) stays, rest ← (rest + shift)·exp(scale).
    """

    def __init__(self, channels: int, condition: int) -> None:
        """Set the number of channels and of those of the condition, which the network's hidden layers have too."""
        super().__init__()
        self.stays = channels // 2
        self.actnorm, self.permute = ActNorm(channels), Permutation(channels)
        self.affine = Affine(SteeringNetwork(self.stays + condition, 2 * (channels - self.stays), condition))

    def forward(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape under a condition (N, condition, H, W)."""
        x = self.permute(self.actnorm(x))
        first, shift, scale = self._steer(x, u)
        return torch.cat((first, (x[:, self.stays :] + shift) * torch.exp(scale)), 1)

    def inverse(self, y: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        first, shift, scale = self._steer(y, u)
        x = torch.cat((first, y[:, self.stays :] * torch.exp(-scale) - shift), 1)
        result: torch.Tensor = self.actnorm.inverse(self.permute.inverse(x))
        return result

    def _steer(self, x: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        first = x[:, : self.stays]
        shift, scale = shift_and_scale(self.affine.f(torch.cat((first, u), 1)))
        return first, shift, bounded(scale)

"""Distribution matching by a discriminator (IRN+, ECCV 2020, sec. 3.4 and appendix): JS divergence as a game."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTHS = (1, 2, 4, 8, 8)
"""Of the five pairs of convolutions, in units of the first."""


class Discriminator(nn.Module):
    """Ten convolutions in pairs (3×3; 4×4 with stride 2), batch norm, LeakyReLU 0.2, dense 100, dense 1.

    Maps (N, 3, P, P) in [0, 1] to logits (N, 1); P is fixed and at least 32.
    """

    def __init__(self, side: int, width: int = 64) -> None:
        """Take P and the channels of the first pair."""
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for factor in WIDTHS:
            outputs = factor * width
            layers += [*_layer(inputs, outputs, 3, 1), *_layer(outputs, outputs, 4, 2)]
            inputs, side = outputs, side // 2
        del layers[1]  # no batch norm on pixels
        self.features = nn.Sequential(*layers)
        self.judge = nn.Sequential(nn.Linear(inputs * side**2, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Judge images: above 0 means real."""
        result: torch.Tensor = self.judge(self.features(image).flatten(1))
        return result


def _layer(inputs: int, outputs: int, side: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, side, stride, 1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]


def taken_for_real(logits: torch.Tensor) -> torch.Tensor:
    """Compute the generator's loss: cross-entropy of its images with the label "real", mean over the batch."""
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.ones_like(logits, dtype=torch.float32))


def told_apart(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Compute the discriminator's loss: cross-entropies of real and made images, added."""
    zeros = torch.zeros_like(fake, dtype=torch.float32)
    return taken_for_real(real) + functional.binary_cross_entropy_with_logits(fake.float(), zeros)

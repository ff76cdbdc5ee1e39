"""What trains: a module, its loss terms on a batch, and the states that it ends as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import torch
from torch import nn

from rescale_bench.api.records import State

MODEL = "model"


@dataclass(frozen=True)
class Batch:
    """One step's crops.

    hr: (N, 3, P, P) in [0, 1], multiples of 1/255, channels last. lr: their bicubic LR (N, 3, p, p),
    clamped to [0, 1], not rounded. scale: of both. step: counted from 0.
    generator: on the CPU, seeded from seed and step; whatever a learner draws comes from it.
    """

    hr: torch.Tensor
    lr: torch.Tensor
    scale: Decimal
    step: int
    generator: torch.Generator

    def normal(self, like: torch.Tensor) -> torch.Tensor:
        """Draw N(0, 1) in the shape of a tensor and on its device; the same on every device."""
        return torch.randn(like.shape, generator=self.generator).to(like.device)

    def chance(self) -> float:
        """Draw a number in [0, 1)."""
        return float(torch.rand((), generator=self.generator))


class Learner(ABC):
    """A module in training and what only its system has.

    module: everything that a checkpoint must keep. players: who may learn; each has its own optimizer.
    """

    module: nn.Module

    def players(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Give the parameters of each player: all of the module's are the model's, unless it has rivals."""
        return {MODEL: [parameter for parameter in self.module.parameters() if parameter.requires_grad]}

    def turn(self, step: int) -> Sequence[str]:
        """Say which players learn in a step, in order."""
        del step
        return (MODEL,)

    @abstractmethod
    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute a player's loss terms (scalars by name), not yet weighted."""

    @abstractmethod
    def states(self) -> Mapping[str, State]:
        """Return the weights files by part, in the published layout, with the metadata that `build` needs."""

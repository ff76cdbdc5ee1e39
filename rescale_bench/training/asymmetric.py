"""Training of rescalers that simulate the codec between their halves (SAIN, AAAI 2023; T-SAIN, AAAI 2025)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from rescale_bench.networks.quantise import quantise
from rescale_bench.training.jpeg_layer import compress, compress_softly
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.losses import charbonnier, squares

TERMS = ("guidance", "compressed_guidance", "simulation", "return")
"""Terms that share one weight, λ/4."""


def asymmetric_losses(weight: float) -> dict[str, float]:
    """Weigh the terms: the reconstruction by 1, the four others by λ/4 each."""
    return {"reconstruction": 1.0, **dict.fromkeys(TERMS, weight / 4)}


@dataclass(frozen=True)
class Sent:
    """The forward pass: the LR before and after a simulated compression (N, 3, h, w), neither rounded."""

    lr: torch.Tensor
    compressed: torch.Tensor


@dataclass(frozen=True)
class Received:
    """The inverse pass: HR' (N, 3, H, W), and the LR before compression that is met on the way (N, 3, h, w)."""

    hr: torch.Tensor
    lr: torch.Tensor


class AsymmetricLearner(Learner):
    """Reconstruction through JPEG, and four squared errors that make the network's last blocks stand for JPEG.

    quality: of JPEG, real in the targets and soft between the halves.
    """

    quality: int

    @abstractmethod
    def send(self, hr: torch.Tensor) -> Sent:
        """Run the forward pass."""

    @abstractmethod
    def receive(self, lr: torch.Tensor, batch: Batch) -> Received:
        """Run the inverse pass on a decoded LR."""

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute the five terms: sums over pixels and channels, means over the batch."""
        sent = self.send(batch.hr)
        rounded = quantise(sent.lr.float())
        received = self.receive(quantise(compress_softly(rounded, self.quality)), batch)
        return {
            "reconstruction": charbonnier(received.hr - batch.hr),
            "guidance": squares(sent.lr - batch.lr),
            "compressed_guidance": squares(sent.compressed - compress(batch.lr, self.quality)),
            "simulation": squares(sent.compressed - compress(rounded, self.quality)),
            "return": squares(rounded - received.lr),
        }

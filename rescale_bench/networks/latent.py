"""The latent of an inverse pass: which one the weights learned with, and drawing it alike on every device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from rescale_bench.api.records import State, Value

LATENT = "z"
"""Metadata of a weights file, and a method's option: the latent that the inverse takes ("gaussian", "zero", …)."""

LEARNED = "learned"
"""Value of the option that leaves the choice to the weights."""


def latent_rule(state: State, options: Mapping[str, Value], published: str) -> str:
    """Return the kind of latent: the option's, or the weights', or the published one where these say nothing."""
    wanted = str(options.get(LATENT, LEARNED))
    return state.metadata.get(LATENT, published) if wanted == LEARNED else wanted


def normal(shape: Sequence[int], device: torch.device, scale: float = 1.0) -> torch.Tensor:
    """Draw N(0, scale²) from PyTorch's global generator; zeros, without drawing, for scale 0.

    Always the CPU's generator: the harness seeds it, and draws do not depend on the device.
    """
    if not scale:
        return torch.zeros(shape, device=device)
    return (torch.randn(shape) * scale).to(device)

"""Loss terms that several systems share: sums over channels and pixels, means over the batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from rescale_bench.errors import UsageError

EPSILON = 1e-6


def squares(difference: torch.Tensor) -> torch.Tensor:
    """Sum the squares of (N, …) over everything but the batch, and average over that."""
    return difference.float().square().sum() / len(difference)


def absolutes(difference: torch.Tensor) -> torch.Tensor:
    """Sum the absolute values of (N, …) over everything but the batch, and average over that."""
    return difference.float().abs().sum() / len(difference)


def charbonnier(difference: torch.Tensor) -> torch.Tensor:
    """Sum √(d² + 1e-6), IRN's L1, over everything but the batch, and average over that."""
    return (difference.float().square() + EPSILON).sqrt().sum() / len(difference)


def weighted_sum(terms: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """Add up the terms times their weights. Raises UsageError for a term that the recipe does not know."""
    unknown = [name for name in terms if name not in weights]
    if unknown or not terms:
        raise UsageError(f"loss terms without a weight in the recipe: {', '.join(unknown) or '(no terms)'}")
    return torch.stack([weights[name] * term.float() for name, term in terms.items()]).sum()

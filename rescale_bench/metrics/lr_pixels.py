"""The LR as no-reference metrics take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rescale_bench.errors import UndefinedValueError

if TYPE_CHECKING:
    import torch


def eight_bit_rgb(lr: torch.Tensor, metric: str) -> torch.Tensor:
    """Return the LR, uint8 (3, h, w), unchanged. Raises UndefinedValueError where it is float or grey."""
    import torch

    if lr.dtype != torch.uint8:
        raise UndefinedValueError(f"{metric} takes an 8-bit LR; under this protocol it is {lr.dtype}")
    if lr.shape[0] != 3:
        raise UndefinedValueError(f"{metric} takes an RGB LR, this one has {lr.shape[0]} channel")
    return lr

"""bf16 convolutions where the device is fast at them, float32 where eight bits of mantissa would show."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import nn

FAST = ("amx_bf16", "avx512_bf16")
"""Processor features with which bf16 convolutions beat float32 ones."""


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Decide what "auto" means on a device."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    try:
        features = Path("/proc/cpuinfo").read_text(errors="replace").split()
    except OSError:
        return False
    return any(feature in features for feature in FAST)


def autocast(bf16: bool, device: torch.device) -> AbstractContextManager[Any]:
    """Run convolutions in bf16 inside this context, or leave everything as it is."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def keep_float32(modules: Iterable[nn.Module], names: Iterable[str] = ("forward",)) -> None:
    """Make methods of modules run in float32 whatever the context: pixels, coordinates and logarithms need it."""
    wanted = list(names)
    for module in modules:
        for name in wanted:
            if hasattr(module, name):
                setattr(module, name, _in_float32(getattr(module, name)))


def _in_float32(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        device = next((item.device.type for item in arguments if isinstance(item, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return call(*(_float32(item) for item in arguments), **named)

    return wrapped


def _float32(item: Any) -> Any:
    return item.float() if isinstance(item, torch.Tensor) and item.is_floating_point() else item

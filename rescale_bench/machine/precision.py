"""In which numbers arithmetic runs: float32 that is float32 on every device, bf16 where a training gains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

FAST = ("amx_bf16", "avx512_bf16")
"""Processor features with which bf16 convolutions beat float32 ones."""


def exact_float32() -> None:
    """Switch off what trades float32's accuracy or repeatability for speed on NVIDIA GPUs, for this process.

    By default cuDNN convolves float32 in TF32, whose mantissa has 10 bits instead of 23. Relative errors of 5e-4, up to
    an eighth of an 8-bit level, round pixels of the LR the other way and move PSNRs from the CPU's. Benchmarking picks
    cuDNN's algorithm by the clock, and some algorithms add in no fixed order: equal runs would not be equal.
    Changes nothing on the CPU, and starts no driver.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Decide what "auto" means on a device."""
    import torch

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
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def keep_float32(modules: Iterable[nn.Module], names: Iterable[str] = ("forward",)) -> None:
    """Make methods of modules run in float32 whatever the context: pixels, coordinates and logarithms need it."""
    wanted = list(names)
    for module in modules:
        for name in wanted:
            if hasattr(module, name):
                setattr(module, name, _in_float32(getattr(module, name)))


def _in_float32(call: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    @wraps(call)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        device = next((item.device.type for item in arguments if isinstance(item, torch.Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return call(*(_float32(item) for item in arguments), **named)

    return wrapped


def _float32(item: Any) -> Any:
    import torch

    return item.float() if isinstance(item, torch.Tensor) and item.is_floating_point() else item

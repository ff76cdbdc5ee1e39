"""The two halves of a method, how one is run, and what must hold of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Method, Rescaler
from rescale_bench.errors import MethodError, RescaleBenchError
from rescale_bench.machine import profiling

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Halves:
    """A method built twice: down shrinks, up enlarges; they share nothing.

    dtype: "float32", or "bf16" for convolutions and matrix products in bfloat16 (torch.autocast).
    """

    method: Method
    down: Rescaler
    up: Rescaler
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True)
class Run:
    """What one half returned, checked, and what it cost.

    images: (N, C, H, W) in [0, 1], on the CPU. peak_mb: 10^6 bytes, None where the platform does not tell.
    """

    images: torch.Tensor
    seconds: float
    peak_mb: float | None


def run_half(
    halves: Halves,
    name: str,
    call: Callable[[], Any],
    seed: int,
    expected: tuple[int, ...] | None,
    count: int = 1,
    idle: int = 0,
) -> Run:
    """Run one half and check what it returns.

    seed: what its random draws start from. expected: (C, H, W), None for any; count: images at once.
    idle: bytes of freed memory that it may find. Raises MethodError naming the method and the half.
    """
    import torch

    torch.manual_seed(seed)
    bf16 = torch.autocast(halves.device.partition(":")[0], dtype=torch.bfloat16) if halves.dtype == "bf16" else None
    try:
        with bf16 or nullcontext():
            result, seconds, peak_mb = profiling.measure(call, halves.device, idle)
    except RescaleBenchError:
        raise
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else ""
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text:
            raise MethodError(f"{halves.method.name}: {name} ran out of memory; tile=auto may help") from error
        raise MethodError(f"{halves.method.name}: {name} raised {type(error).__name__}: {text}") from error
    return Run(_checked(result, f"{halves.method.name}: {name}", expected, count), seconds, peak_mb)


def _checked(result: Any, where: str, expected: tuple[int, ...] | None, count: int) -> torch.Tensor:
    """Check a half's output for so many images and return it clamped to [0, 1], (count, C, H, W), on the CPU."""
    import torch

    if not isinstance(result, torch.Tensor):
        raise MethodError(f"{where} returned {type(result).__name__}, not a torch tensor")
    if result.ndim != 4 or result.shape[0] != count:
        raise MethodError(f"{where} returned shape {tuple(result.shape)}, not ({count}, C, H, W)")
    if expected is not None and tuple(result.shape[1:]) != expected:
        wanted = "×".join(map(str, expected))
        raise MethodError(f"{where} returned {'×'.join(map(str, result.shape[1:]))} where {wanted} is due")
    if not result.is_floating_point():
        raise MethodError(f"{where} returned {result.dtype}, not floats in [0, 1]")
    images = result.detach().to("cpu")
    images = images if images.dtype == torch.float64 else images.to(torch.float32)
    if not torch.isfinite(images).all():
        raise MethodError(f"{where} returned values that are not finite")
    return images.clamp(0, 1)

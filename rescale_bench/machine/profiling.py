"""Measure what a call costs: wall-clock seconds, peak memory, multiply-accumulates."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from rescale_bench.machine.allocator import give_back

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"
"""What resets the resident-set peak (proc_pid_clear_refs(5))."""


def measure(call: Callable[[], T], device: str | torch.device = "cpu", idle: int = 0) -> tuple[T, float, float | None]:
    """Run a call and return its result, its seconds and its peak memory in megabytes (10^6 bytes).

    On the CPU the peak is the largest resident set of the whole process during the call (Linux only); on CUDA
    it is what torch had allocated on the device. None where the platform tells neither.
    idle: bytes of freed memory that the call may find, and the peak hold; more is returned to the system first.
    """
    give_back(idle)
    meter: _Meter = _CudaMeter(device) if str(device).startswith("cuda") else _ResidentMeter()
    meter.start()
    begin = time.perf_counter()
    result = call()
    meter.wait()
    seconds = time.perf_counter() - begin
    return result, seconds, meter.peak_mb()


class _State:
    """What networks ask while they run; a plain attribute, since torch.compile cannot follow a ContextVar."""

    counting = False


def counting() -> bool:
    """Tell whether count_macs is counting: networks then compute as their papers write them.

    What makes them fast (filters of zeros that fill a vector, rows computed for two strips) is the machine's.
    """
    return _State.counting


def count_macs(call: Callable[[], object]) -> int:
    """Count the multiply-accumulates of the convolutions and matrix products inside a call.

    torch.utils.flop_counter counts two floating-point operations for each (spec/metrics.md).
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    _State.counting = True
    try:
        with torch.no_grad(), counter:
            call()
    finally:
        _State.counting = False
    return int(counter.get_total_flops()) // 2


class _Meter(Protocol):
    """What measure needs of a device."""

    def start(self) -> None:
        """Wait for earlier work and forget earlier peaks."""

    def wait(self) -> None:
        """Wait for the work under way."""

    def peak_mb(self) -> float | None:
        """Read the peak since start, in 10^6 bytes."""


class _ResidentMeter:
    """The resident set of this process, from Linux's /proc."""

    def start(self) -> None:
        # Elsewhere, or in a container that forbids it, the peak would be that of the whole run: None instead.
        try:
            CLEAR_REFS.write_text(RESET_PEAK)
            self.known = True
        except OSError:
            self.known = False

    def wait(self) -> None:
        """Return at once: calls on the CPU are done when they return."""

    def peak_mb(self) -> float | None:
        if not self.known:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 / 1e6 if found else None


class _CudaMeter:
    """What torch allocated on a CUDA device."""

    def __init__(self, device: str | torch.device) -> None:
        self.device = device

    def start(self) -> None:
        import torch

        self.wait()
        torch.cuda.reset_peak_memory_stats(self.device)

    def wait(self) -> None:
        import torch

        torch.cuda.synchronize(self.device)

    def peak_mb(self) -> float | None:
        import torch

        return float(torch.cuda.max_memory_allocated(self.device)) / 1e6

"""What a process computes on: a device, and the cores that it may use."""

from __future__ import annotations

import os
from pathlib import Path

from rescale_bench.errors import UnavailableError

LOADAVG = Path("/proc/loadavg")


def usable_device(name: str) -> str:
    """Return the torch device that a name stands for in this process; "auto" is cuda where there is one.

    Raises UnavailableError for what is no device, and for one that this machine lacks.
    """
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UnavailableError(f"'{name}' is no device; use cpu, cuda, cuda:1 or auto", "device") from None
    if device.type != "cpu" and not (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count()):
        raise UnavailableError(f"this machine has no {name}; use cpu or auto", "device")
    return name


def usable_cores() -> int:
    """Count the cores that this process may use; 1 where the platform does not tell."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS and Windows
        return os.cpu_count() or 1


def crowding(threads: int) -> str:
    """Say how many cores others keep busy at this moment, where so many threads do not fit beside them; else "".

    "" too where the platform does not tell.
    """
    cores = os.cpu_count() or 1
    try:  # "0.52 0.58 0.59 3/602 12345": 3 threads run, this one among them
        busy = int(LOADAVG.read_text(encoding="ascii").split()[3].partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return ""
    return f"{min(busy, cores)} of {cores} cores are busy with other work" if busy and busy + threads > cores else ""

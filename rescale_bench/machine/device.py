"""What a process computes on: a device, and the cores that it may use."""

from __future__ import annotations

import os

from rescale_bench.errors import UnavailableError


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

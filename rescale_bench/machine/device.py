"""Which device a process computes on."""

from __future__ import annotations

from rescale_bench.errors import UnavailableError


def usable_device(name: str) -> str:
    """Return the device that a name of --device stands for in this process. Raises UnavailableError."""
    if name == "cpu":
        return name
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        usable = device.type == "cpu" or (device.type == "cuda" and (device.index or 0) < torch.cuda.device_count())
    except RuntimeError:
        usable = False
    if not usable:
        raise UnavailableError(f"--device: {name} is not to be had here; use cpu or auto")
    return name

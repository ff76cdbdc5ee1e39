"""How much memory there is, and how much a process holds."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rescale_bench.errors import UsageError

UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
MANY_OBJECTS = 200_000
"""New objects between two looks of few_collections."""


def parse_bytes(text: str, about: str) -> int:
    """Read "4GB", "512 MiB" or "2000000" as bytes; 0 for "". Raises UsageError about the setting."""
    if not text.strip():
        return 0
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = UNITS.get(found[2].upper()) if found else None
    if found is None or unit is None or float(found[1]) * unit < 1:
        raise UsageError(f"'{text}' is no amount of memory (examples: 4GB, 512MiB)", about)
    return int(float(found[1]) * unit)


def resident_bytes(pid: int | str = "self") -> int | None:
    """Read the resident set of a process; None where the platform does not tell, or the process is gone."""
    found = re.search(r"^VmRSS:\s+(\d+) kB$", _read(PROC / str(pid) / "status"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def free_bytes(device: str = "cpu", limit: int = 0, share: int = 1) -> int | None:
    """Find how many bytes this process may still take on a device; None where nothing tells.

    limit: of this process's resident set, 0 for none. share: processes that share what is free.
    """
    if device.startswith("cuda"):
        import torch

        # What torch's allocator keeps for later tensors is free to this process.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (int(torch.cuda.mem_get_info(device)[0]) + kept) // share
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", _read(PROC / "meminfo"), re.MULTILINE)
    known = [int(found[1]) * 1024 // share] if found else []
    ceiling, used = (_read(CGROUP / name).strip() for name in ("memory.max", "memory.current"))
    if ceiling.isdigit() and used.isdigit():
        known.append((int(ceiling) - int(used)) // share)
    if limit:
        known.append(limit - (resident_bytes() or 0))
    return max(0, min(known)) if known else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


@contextmanager
def few_collections() -> Iterator[None]:
    """Let Python look for dead cycles of objects rarely: a large table makes many objects, and all of them live."""
    before = gc.get_threshold()
    gc.set_threshold(MANY_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)

"""What glibc's malloc does with the large blocks that a network's intermediate results come and go in.

By default it gets every block above 32 MiB from the kernel and gives it back at once; the kernel then fills each of its
pages with zeros, a fault a page, whenever the next layer asks for one: two fifths of IRN ×2's time at 1024×1024.
"""

from __future__ import annotations

import ctypes
import math
import os
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""
NEVER = -1
STATM = Path("/proc/self/statm")
SETTINGS = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "LD_PRELOAD")
"""Variables with which users choose for themselves."""


def keep_freed_memory() -> bool:
    """Let this process keep freed blocks for the next ones; give_back returns them. Tells whether that was done.

    Nothing is done without glibc (2.33 or later), or where the user chose an allocator or its settings.
    """
    libc = _glibc()
    if libc is None or any(os.environ.get(name) for name in SETTINGS):
        return False
    return bool(libc.mallopt(MMAP_MAX, 0) and libc.mallopt(TRIM_THRESHOLD, NEVER))


def give_back(least: int = 0) -> None:
    """Return the pages of freed blocks to the system, so that a resident set is what a process holds from here on.

    least: bytes of them below which they are left for the next blocks, which saves the faults.
    """
    libc = _glibc()
    if libc is None or (least and _Idle.found(libc) < least):
        return
    libc.malloc_trim(0)
    _Idle.others = _resident() - _in_use(libc)


class _Idle:
    """How much of the resident set is freed blocks: what is left without the blocks in use and what is no block."""

    others: int | None = None
    """Bytes of code, stacks and the like, as they were when there was nothing idle."""

    @classmethod
    def found(cls, libc: ctypes.CDLL) -> float:
        return math.inf if cls.others is None else _resident() - _in_use(libc) - cls.others


class _Info(ctypes.Structure):
    """Struct mallinfo2 (mallinfo(3))."""

    _fields_: ClassVar = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "top",
        )
    ]


def _in_use(libc: ctypes.CDLL) -> int:
    info = libc.mallinfo2()
    return int(info.uordblks + info.hblkhd)


def _resident() -> int:
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@lru_cache(maxsize=1)
def _glibc() -> ctypes.CDLL | None:
    """Load the C library of this process, if it is glibc."""
    try:
        libc = ctypes.CDLL(None)
        if not hasattr(libc, "gnu_get_libc_version") or not hasattr(libc, "mallinfo2") or not STATM.exists():
            return None
        libc.mallinfo2.restype = _Info
        return libc
    except (OSError, TypeError):  # Windows has no library of the process
        return None

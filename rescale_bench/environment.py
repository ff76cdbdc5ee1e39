"""Describe the machine and the software of a run, for env.json."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    "rescale-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-image",
    "pandas",
    "pyarrow",
    "pillow",
    "imagecodecs",
    "safetensors",
    "joblib",
    "dask",
    "distributed",
    "pluggy",
    "pooch",
    "tabulate",
    "rich",
    "pyyaml",
    "pyiqa",
    "lpips",
)
"""What can move a number, or has to be known to repeat a run."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def describe() -> dict[str, Any]:
    """Collect everything, ready for JSON; what cannot be found out is None. Never fails, never imports torch."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "memory_mb": memory_mb(),
        "gpus": gpus(),
        "packages": packages(),
        "threads": threads(),
        "commit": commit(Path(__file__).resolve().parent),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name.startswith("RESCALE_BENCH_")},
    }


def cpu_model() -> str | None:
    """Name the processor."""
    info = _read(Path("/proc/cpuinfo")) or ""
    found = re.search(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine() or None


def memory_mb() -> int | None:
    """Give the machine's memory in 10^6 bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6
    except (AttributeError, OSError, ValueError):
        return None


def gpus() -> list[str]:
    """Name the NVIDIA cards, from torch where it is loaded, else from the driver."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return [str(torch.cuda.get_device_name(index)) for index in range(torch.cuda.device_count())]
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    found = (re.search(r"^Model:\s*(.+)$", _read(file) or "", re.MULTILINE) for file in files)
    return [match[1].strip() for match in found if match]


def packages() -> dict[str, str]:
    """Give the installed versions of the packages that matter; those not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def threads() -> dict[str, int | str]:
    """Give torch's thread counts where it is loaded, and the variables that set such counts."""
    found: dict[str, int | str] = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    torch = sys.modules.get("torch")
    if torch is not None:
        found |= {"torch": torch.get_num_threads(), "torch_interop": torch.get_num_interop_threads()}
    return found


def commit(folder: Path) -> str | None:
    """Give the git commit that a source folder is part of, with "+changes" when it differs; None outside git.

    An installed copy inside somebody else's repository (a virtual environment, say) is not part of it.
    """
    if not _git(folder, "ls-files", "--", "."):
        return None
    head = _git(folder, "rev-parse", "HEAD")
    if not head:
        return None
    return f"{head}+changes" if _git(folder, "status", "--porcelain", "--", ".") else head


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _usable_cores() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None

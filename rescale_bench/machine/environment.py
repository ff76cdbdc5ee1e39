"""Describe the machine and the software of a run, for env.json."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rescale_bench.machine.device import usable_cores

PACKAGES = (
    "rescale-bench",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-image",
    "pandas",
    "joblib",
    "pyarrow",
    "pillow",
    "imagecodecs",
    "safetensors",
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
ARITHMETIC_VARIABLES = (
    "ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "NVIDIA_TF32_OVERRIDE", "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_HOME",
)  # fmt: skip
"""Switches of the libraries that choose instructions, and with them the last bits of a result."""

CODEC_LIBRARIES = {"charls": "charls", "libjxl": "libjxl", "openjpeg": "openjpeg"}
"""What imagecodecs brings for our file formats; Pillow brings the others."""
PILLOW_LIBRARIES = {"zlib": "zlib", "libjpeg_turbo": "libjpeg-turbo", "webp": "libwebp"}
GROUP = "rescale_bench"


def describe() -> dict[str, Any]:
    """Collect everything, ready for JSON; what cannot be found out is None. Never fails, never imports torch."""
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": usable_cores(),
        "memory_mb": memory_mb(),
        "gpus": gpus(),
        "gpu_driver": gpu_driver(),
        "packages": packages(),
        "plugins": plugins(),
        "libraries": libraries(),
        "threads": threads(),
        "arithmetic": arithmetic(),
        "commit": commit(Path(__file__).resolve().parent),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if _decides(name)},
    }


def with_earlier(now: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Add what env.json said before where that differs: a run may go on elsewhere, or after an update."""
    past = [*before.get("earlier", [])]
    last = {key: value for key, value in before.items() if key != "earlier"}
    if last and last != json.loads(json.dumps(now)):
        past.append(last)
    return {**now, "earlier": past} if past else now


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


def gpu_driver() -> str | None:
    """Give the version of NVIDIA's kernel driver."""
    found = re.search(r"Kernel Module(?: for \S+)?\s+([\d.]+)", _read(Path("/proc/driver/nvidia/version")) or "")
    return found[1] if found else None


def packages() -> dict[str, str]:
    """Give the installed versions of the packages that matter; those not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plugins() -> dict[str, str]:
    """Name the package and version behind each installed plugin that is not one of ours."""
    found = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        if entry.dist is not None and entry.dist.name != "rescale-bench":
            found[entry.name] = f"{entry.value} ({entry.dist.name} {entry.dist.version})"
    return dict(sorted(found.items()))


def libraries() -> dict[str, str]:
    """Give the versions of the C libraries that write LR files: bits per pixel depend on them."""
    found: dict[str, str | None] = {}
    try:
        from PIL import features

        found |= {library: features.version(name) for name, library in PILLOW_LIBRARIES.items()}
    except ImportError:
        pass
    try:
        import imagecodecs

        built: dict[str, str] = imagecodecs.version(dict)
        found |= {library: built.get(name) for name, library in CODEC_LIBRARIES.items()}
    except (ImportError, TypeError, AttributeError):
        pass
    return {name: str(version) for name, version in sorted(found.items()) if version not in (None, "n/a")}


def arithmetic() -> dict[str, str | bool | None]:
    """Say how torch computes where it is loaded: instruction set, CUDA and cuDNN, shortcuts taken, determinism."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    cudnn = torch.backends.cudnn
    return {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.is_available(),
        "mkl": torch.backends.mkl.is_available(),
        "cuda": torch.version.cuda,
        "cudnn": str(cudnn.version()) if cudnn.is_available() else None,
        "cudnn_benchmark": cudnn.benchmark,
        "cudnn_tf32": cudnn.allow_tf32,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


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


def _decides(variable: str) -> bool:
    """Tell whether a variable of the environment can move a number; others may be secret and are not kept."""
    return variable.startswith("RESCALE_BENCH_") or variable in ARITHMETIC_VARIABLES


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None

"""Reach single models of pyiqa without its factory, so that nothing can be downloaded.

pyiqa (extra `iqa`, PolyForm Noncommercial) is imported only when one of its metrics is measured.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from rescale_bench.metrics.torchvision_shim import import_torchvision

if TYPE_CHECKING:
    import torch

VERSION = "pyiqa-0.1.16/1"
"""The version that the extra `iqa` pins."""


def problems(metric: str) -> list[str]:
    """Say how to install pyiqa where it is missing."""
    absent = [name for name in ("pyiqa", "torchvision") if importlib.util.find_spec(name) is None]
    return [f"metric {metric} needs {name}; pip install 'rescale-bench[iqa]'" for name in absent]


def model_class(module: str, name: str) -> Any:
    """Import one architecture class of pyiqa, such as ("niqe_arch", "NIQE")."""
    import_torchvision()
    return getattr(importlib.import_module(f"pyiqa.archs.{module}"), name)


def unit_range(image: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (3, h, w) into pyiqa's input, float32 (1, 3, h, w) in [0, 1]."""
    import torch

    return image[None].cpu().to(torch.float32) / 255

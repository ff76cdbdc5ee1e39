"""What metrics of image quality share: packages that are missing, weights files, pyiqa's models, the LR they take.

pyiqa and lpips (extra `iqa`) are imported only when one of their metrics is measured, and single models of pyiqa
without its factory, so that nothing can be downloaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import UndefinedValueError, WeightsError
from rescale_bench.machine.torchvision_shim import import_torchvision

if TYPE_CHECKING:
    import torch

VERSION = "pyiqa-0.1.16/1"
"""The version that the extra `iqa` pins."""
PYIQA = ("pyiqa", "torchvision")
"""The packages that pyiqa's models need."""


def missing_packages(metric: str, *names: str) -> list[str]:
    """Say how to install the packages of a metric that are missing."""
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    return [f"metric {metric} needs {name}; pip install 'rescale-bench[iqa]'" for name in absent]


def model_class(module: str, name: str) -> Any:
    """Import one architecture class of pyiqa, such as ("niqe_arch", "NIQE")."""
    import_torchvision()
    return getattr(importlib.import_module(f"pyiqa.archs.{module}"), name)


def unit_range(image: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (3, h, w) into pyiqa's input, float32 (1, 3, h, w) in [0, 1]."""
    import torch

    return image[None].cpu().to(torch.float32) / 255


def eight_bit_rgb(lr: torch.Tensor, metric: str) -> torch.Tensor:
    """Return the LR, uint8 (3, h, w), unchanged. Raises UndefinedValueError where it is float or grey."""
    import torch

    if lr.dtype != torch.uint8:
        raise UndefinedValueError(f"{metric} takes an 8-bit LR; under this protocol it is {lr.dtype}")
    if lr.shape[0] != 3:
        raise UndefinedValueError(f"{metric} takes an RGB LR, this one has {lr.shape[0]} channel")
    return lr


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors without running any code in the file. Raises WeightsError naming the file."""
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from error
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds {type(state).__name__}, not named weights")
    return state

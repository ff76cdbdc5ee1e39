"""What metrics of image quality share: packages that are missing, weights files, pyiqa's models, the LR they take.

pyiqa and lpips (extra `iqa`) are imported only when one of their metrics is measured, and single models of pyiqa
without its factory, so that nothing can be downloaded.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.errors import UndefinedValueError, WeightsError

if TYPE_CHECKING:
    import torch

VERSION = "pyiqa-0.1.16/1"
"""The version that the extra `iqa` pins."""
PYIQA = ("pyiqa", "torchvision")
"""The packages that pyiqa's models need."""
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


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


def import_torchvision() -> None:
    """Import torchvision, which lpips and pyiqa use for its network definitions, also where its operators cannot load.

    Its wheel from PyPI is built for CUDA: beside a CPU torch its library does not load, and torchvision ≥ 0.20 then
    dies while describing an operator ("operator torchvision::nms does not exist"). Declaring the schemas lets the
    import pass; the operators stay missing and say so when called. No metric calls them.
    Raises ImportError when torchvision is not installed.
    """
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declared()
        importlib.import_module("torchvision")


@functools.cache
def _declared() -> Any:
    """Declare the schemas once; torch withdraws them when the returned library is collected."""
    import torch

    # Any, because torch leaves these two calls untyped.
    library: Any = cast(Any, torch.library.Library)("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        # The half of torchvision that did load may have declared one already.
        with contextlib.suppress(RuntimeError):
            library.define(schema)
    return library

"""Make `import torchvision` work where its compiled operators cannot be loaded."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from typing import Any, cast

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> None:
    """Import torchvision, of which lpips, pyiqa and spandrel use little, also where its operators cannot load.

    Its wheel from PyPI is built for CUDA: beside a CPU torch its library does not load, and torchvision ≥ 0.20 then
    dies while describing an operator ("operator torchvision::nms does not exist"). Declaring the schemas lets the
    import pass; the operators stay missing and say so when called. Nothing here calls them.
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

"""torch.compile around a method's networks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Rescaler, count_parameters
from rescale_bench.errors import UnavailableError

if TYPE_CHECKING:
    import torch

COMPILERS = ("g++", "clang++", "c++")
SHAPES = 1000
"""Shapes that one function may be compiled for: beyond torch's own 8 it would go on uncompiled, without a word."""


def check_compiler() -> None:
    """Raise UnavailableError where torch.compile would find no C++ compiler."""
    named = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (*filter(None, [named]), *COMPILERS)):
        raise UnavailableError("torch.compile needs a C++ compiler; install g++, or set CXX to one", "compile")


def compiled(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a function that is compiled on its first call, and again for other shapes."""
    import torch
    from torch import _dynamo

    _dynamo.config.recompile_limit = SHAPES
    _dynamo.config.accumulated_recompile_limit = SHAPES
    return torch.compile(function)


class Compiled:
    """A Rescaler whose halves are compiled whole."""

    def __init__(self, inner: Rescaler) -> None:
        """Take the one to be compiled."""
        self.parameter_count = count_parameters(inner)
        self.downscale, self.upscale = compiled(inner.downscale), compiled(inner.upscale)


def compile_rescaler(rescaler: Any) -> Rescaler:
    """Compile what a Rescaler says it gains from (its compile_networks), or else both halves whole."""
    compile_networks = getattr(rescaler, "compile_networks", None)
    if compile_networks is None:
        return Compiled(rescaler)
    compile_networks()
    same: Rescaler = rescaler
    return same

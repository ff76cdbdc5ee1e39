"""NIQE of the LR through pyiqa, with the release parameters.

A. Mittal, R. Soundararajan, A. C. Bovik, "Making a completely blind image quality analyzer", IEEE SPL 2013.
The image model is fitted to blocks of 96×96 px: with none there is no value, with one its covariance is
degenerate and libraries return a number all the same. Below 15 blocks the value is unreliable and grows as blocks
get fewer, so it never compares across scales or data sets; the block count is a metric of its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, MetricFile, Sample, Value
from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics import iqa

if TYPE_CHECKING:
    import torch

NIQE_PRISTINE = MetricFile(
    path="hub/pyiqa/niqe_modelparameters.mat",
    url="https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/niqe_modelparameters.mat",
    sha256="f69cf71bf56f2fed544445dc55fb703ed41fbdf035e20fb31588791dd3ec205a",
)
BLOCK = 96
FEWEST = 2
"""Blocks needed for a covariance."""


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield NIQE, its difference to the bicubic LR, and the number of blocks behind it."""
    return (
        Metric(
            name="niqe_lr",
            title="NIQE of the LR",
            order=80,
            summary="NIQE of the LR (release parameters); unreliable below 15 blocks",
            direction="down",
            judges="lr",
            group="perceptual",
            tolerance="0.01",
            version=iqa.VERSION,
            files=(NIQE_PRISTINE,),
            measure=_niqe_lr,
            requires=functools.partial(iqa.missing_packages, "niqe_lr", *iqa.PYIQA),
        ),
        Metric(
            name="niqe_lr_diff",
            title="NIQE of the LR less the bicubic LR's",
            summary="NIQE of the LR less that of the bicubic LR of the same image",
            direction="down",
            judges="lr",
            group="perceptual",
            tolerance="0.01",
            version=iqa.VERSION,
            files=(NIQE_PRISTINE,),
            measure=_niqe_lr_diff,
            requires=functools.partial(iqa.missing_packages, "niqe_lr_diff", *iqa.PYIQA),
        ),
        Metric(
            name="niqe_blocks",
            title="96×96 blocks of the LR",
            group="perceptual",
            tolerance="0.01",
            summary="96×96 blocks of the LR that NIQE is computed from",
            direction="none",
            judges="lr",
            version="rescale-bench/1",
            measure=_niqe_blocks,
            decimals=0,
        ),
    )


def blocks(size: tuple[int, int]) -> int:
    """Count the whole 96×96 blocks of an image of this (height, width)."""
    return (size[0] // BLOCK) * (size[1] // BLOCK)


def niqe(image: torch.Tensor) -> float:
    """Score uint8 (3, h, w); lower is better.

    Raises UndefinedValueError below two blocks, or where fewer than two blocks have any texture.
    """
    import torch

    iqa.eight_bit_rgb(image, "NIQE")
    count = blocks((image.shape[-2], image.shape[-1]))
    if count < FEWEST:
        raise UndefinedValueError(
            f"NIQE needs {FEWEST} blocks of {BLOCK}×{BLOCK}; an LR of {image.shape[-1]}×{image.shape[-2]} has {count}"
        )
    with torch.inference_mode(), usable_blocks():
        value = float(_model(str(NIQE_PRISTINE.location))(iqa.unit_range(image)))
    if not math.isfinite(value):
        raise UndefinedValueError("NIQE: the image model of this LR is not finite")
    return value


def usable_blocks() -> AbstractContextManager[Any]:
    """Watch the covariance being taken, and raise UndefinedValueError where fewer than two blocks reach it.

    pyiqa leaves out blocks without texture, and returns a number even for a single one.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.cov and args[0].shape[-1] < FEWEST:
                raise UndefinedValueError(f"NIQE: fewer than {FEWEST} blocks have texture")
            return func(*args, **(kwargs or {}))

    return cast("AbstractContextManager[Any]", Watch())


@functools.lru_cache(maxsize=2)
def _model(path: str) -> Any:
    # Given the path, pyiqa asks nobody for a file; scipy's reader unpickles nothing.
    return iqa.model_class("niqe_arch", "NIQE")(pretrained_model_path=path)


def _niqe_lr(sample: Sample, options: Mapping[str, Value]) -> float:
    del options
    value: float = sample.once("niqe_lr", lambda: niqe(sample.lr))
    return value


def _niqe_lr_diff(sample: Sample, options: Mapping[str, Value]) -> float:
    return _niqe_lr(sample, options) - niqe(sample.lr_reference)


def _niqe_blocks(sample: Sample, options: Mapping[str, Value]) -> float:
    del options
    return float(blocks((sample.lr.shape[-2], sample.lr.shape[-1])))

"""Perceptual index of the restored image, through pyiqa: PI = ((10 − Ma) + NIQE) / 2.

Y. Blau et al., "The 2018 PIRM challenge on perceptual image super-resolution", ECCV Workshops 2018, eq. 2; Ma is
C. Ma et al., "Learning a no-reference quality metric for single-image super-resolution", CVIU 2017. As in the
challenge both judge Y without a border of 4 px, and a data set's value is the mean over its images.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, MetricFile, Sample, Value
from rescale_bench.errors import UndefinedValueError, WeightsError
from rescale_bench.metrics import iqa, niqe
from rescale_bench.metrics.niqe import NIQE_PRISTINE

if TYPE_CHECKING:
    import torch

NRQM_MODEL = MetricFile(
    path="hub/pyiqa/NRQM_model.mat",
    url="https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/NRQM_model.mat",
    sha256="",
)
BORDER = 4
"""Pixels cut on each side, as PIRM's script does."""


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield the perceptual index."""
    return (
        Metric(
            name="pi",
            title="perceptual index",
            group="perceptual",
            summary="perceptual index of HR': ((10 - Ma) + NIQE) / 2, Y, 4 px cut; slow",
            direction="down",
            judges="hr",
            version=iqa.VERSION,
            measure=_pi,
            files=(NIQE_PRISTINE, NRQM_MODEL),
            requires=functools.partial(iqa.missing_packages, "pi", *iqa.PYIQA),
        ),
    )


def _pi(sample: Sample, options: Mapping[str, Value]) -> float:
    del options
    if sample.sr.shape[0] != 3:
        raise UndefinedValueError(f"PI takes RGB; under protocol {sample.protocol.name} HR has one channel")
    return perceptual_index(sample.sr)


def perceptual_index(image: torch.Tensor) -> float:
    """Score (3, H, W) in [0, 255]; lower is better.

    Raises UndefinedValueError where NIQE is: fewer than two blocks of 96×96 inside the border, or with texture.
    """
    import torch
    from torch.linalg import LinAlgError  # type: ignore[attr-defined]  # documented, but not in its __all__

    height, width = image.shape[-2] - 2 * BORDER, image.shape[-1] - 2 * BORDER
    if niqe.blocks((height, width)) < niqe.FEWEST:
        raise UndefinedValueError(
            f"PI needs {niqe.FEWEST} blocks of {niqe.BLOCK}×{niqe.BLOCK} for NIQE; {width}×{height} px are left "
            f"inside the border"
        )
    ma, naturalness = _models(str(NRQM_MODEL.location), str(NIQE_PRISTINE.location))
    unit = iqa.unit_range(image)
    try:
        with torch.inference_mode(), niqe.usable_blocks():
            found = float(naturalness(unit))  # first: it is quick to say that there is no value
            value = (10 - float(ma(unit)) + found) / 2
    except LinAlgError as error:
        raise UndefinedValueError("PI: the wavelet model of this image is singular") from error
    if not math.isfinite(value):
        raise UndefinedValueError("PI: the image models of this image are not finite")
    return value


@functools.lru_cache(maxsize=1)
def _models(ma: str, pristine: str) -> tuple[Any, Any]:
    from scipy.io.matlab import MatReadError

    # pyiqa's own PI takes no paths and would download its files unchecked; its two halves do. Nothing is unpickled.
    kind = {"crop_border": BORDER, "color_space": "ycbcr"}
    try:
        first = iqa.model_class("nrqm_arch", "NRQM")(pretrained_model_path=ma, **kind)
    except (MatReadError, KeyError, IndexError, ValueError, TypeError, NotImplementedError, OSError) as error:
        raise WeightsError(f"{ma} is not the model of Ma et al. (NRQM_model.mat): {error}") from error
    return first, iqa.model_class("niqe_arch", "NIQE")(pretrained_model_path=pristine, **kind)

"""PIQE of the LR: how distorted its active blocks look, 0 (clean) to 100.

N. Venkatanath et al., "Blind image quality evaluation using perception based features", NCC 2015.
The particulars are those of spec/metrics.md, which give the rows that FGRN (BMVC 2021) publishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, Option, Sample, Value
from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics import iqa

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PYIQA = "piqe_lr@pyiqa"
BLOCK, SEGMENT = 16, 6
"""Side of a block and length of an edge segment, px."""
ACTIVE, NOTICEABLE = 0.1, 0.1
"""Thresholds: variance of an active block; standard deviation of a segment that looks distorted."""
GREY = (0.298936, 0.587043, 0.114021)
CENTRE, SURROUND_WITHOUT = slice(7, 9), [7, 9]
"""Columns of a block. The surround lacks columns 7 and 9, not 7 and 8: that gives the published values."""

TOLERANCE = "0.1"
"""Wide, because whole blocks are counted against thresholds."""


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield PIQE, ours and pyiqa's."""
    return (
        Metric(
            name="piqe_lr",
            summary="PIQE of the LR",
            title="PIQE of the LR",
            order=90,
            group="perceptual",
            tolerance=TOLERANCE,
            direction="down",
            judges="lr",
            version="rescale-bench/1",
            measure=_piqe_lr,
            options=(
                Option("channels", "rgb", "bgr swaps red and blue, as the published table did", choices=("rgb", "bgr")),
            ),
        ),
        Metric(
            name=PYIQA,
            summary="PIQE of the LR as pyiqa computes it (other grey, padding and scaling; up to 8 off)",
            title="PIQE of the LR (pyiqa)",
            group="perceptual",
            tolerance=TOLERANCE,
            direction="down",
            judges="lr",
            version=iqa.VERSION,
            measure=_piqe_lr_pyiqa,
            requires=partial(iqa.missing_packages, PYIQA, *iqa.PYIQA),
        ),
    )


def _piqe_lr(sample: Sample, options: Mapping[str, Value]) -> float:
    image = _large_enough(sample)
    if options.get("channels", "rgb") == "bgr":
        image = image.flip(0)
    return piqe(image.permute(1, 2, 0).cpu().numpy())


def _piqe_lr_pyiqa(sample: Sample, options: Mapping[str, Value]) -> float:
    import torch

    del options
    image = _large_enough(sample)
    if not image.any():
        raise UndefinedValueError(f"{PYIQA} divides by the brightest pixel, and this LR is black")
    with torch.inference_mode():
        return float(iqa.model_class("piqe_arch", "PIQE")()(iqa.unit_range(image)))


def _large_enough(sample: Sample) -> torch.Tensor:
    image = iqa.eight_bit_rgb(sample.lr, "PIQE")
    if min(image.shape[-2:]) < BLOCK:
        raise UndefinedValueError(f"PIQE needs {BLOCK} px a side, the LR is {image.shape[-1]}×{image.shape[-2]}")
    return image


def piqe(rgb: NDArray[np.uint8]) -> float:
    """Score an image, uint8 (H, W, 3), at least 16 px a side (eqs. 1–12 of the paper); lower is better."""
    import numpy as np

    blocks = _blocks(_normalised(_padded(_grey(rgb))))
    variance = blocks.var(axis=(1, 2), ddof=1)
    active = variance > ACTIVE
    blocks, variance = blocks[active], variance[active]
    distorted = (
        np.where(_noticeable(blocks), 1 - variance, 0).sum() + np.where(_noisy(blocks, variance), variance, 0).sum()
    )
    return float(100 * (distorted + 1) / (len(blocks) + 1))


def _grey(rgb: NDArray[np.uint8]) -> Floats:
    import numpy as np

    return np.asarray(np.floor(rgb.astype(np.float64) @ np.array(GREY) + 0.5))


def _padded(grey: Floats) -> Floats:
    import numpy as np

    return np.pad(grey, [(0, -side % BLOCK) for side in grey.shape], mode="edge")


def _normalised(grey: Floats) -> Floats:
    """Subtract the local mean and divide by the local contrast plus 1 (eqs. 1–3): 7×7 Gaussian, σ = 7/6."""
    import numpy as np
    from scipy.ndimage import correlate1d

    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()

    def blur(plane: Floats) -> Floats:
        rows: Any = correlate1d(plane, taps, axis=0, mode="nearest")
        return np.asarray(correlate1d(rows, taps, axis=1, mode="nearest"))

    mean = blur(grey)
    return np.asarray((grey - mean) / (np.sqrt(np.abs(blur(grey * grey) - mean * mean)) + 1))


def _blocks(plane: Floats) -> Floats:
    """Cut into (N, 16, 16)."""
    rows, columns = (side // BLOCK for side in plane.shape)
    return plane.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)


def _noticeable(blocks: Floats) -> NDArray[np.bool_]:
    """Find the blocks with a nearly constant segment on one of their four edges (section III.C)."""
    import numpy as np

    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], axis=1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, SEGMENT, axis=-1)
    found: NDArray[np.bool_] = (segments.std(axis=-1, ddof=1) < NOTICEABLE).any(axis=(1, 2))
    return found


def _noisy(blocks: Floats, variance: Floats) -> NDArray[np.bool_]:
    """Find the blocks whose centre and surround differ as in Gaussian noise (section III.D)."""
    import numpy as np

    deviation = np.sqrt(variance)
    centre = blocks[:, :, CENTRE].std(axis=(1, 2), ddof=1)
    surround = np.delete(blocks, SURROUND_WITHOUT, axis=2).std(axis=(1, 2), ddof=1)
    # A constant surround gives 0/0 or x/0; the comparison below is then false, as it should be.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = centre / surround
        beta = np.abs(deviation - ratio) / np.maximum(deviation, ratio)
    return np.asarray(deviation > 2 * beta)

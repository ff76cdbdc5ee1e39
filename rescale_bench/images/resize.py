"""Resample images by MATLAB's imresize rule, the reference resampler of every protocol.

Each axis is a banded matrix. It is cut into blocks of output pixels, each a small dense matrix over the few
input pixels it needs, so that a pass is a row of matrix products: several times faster than sums over taps.
Mirrored borders are folded into the matrices; the backward pass is the same with the matrices transposed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import torch

from rescale_bench.errors import UsageError

KernelName = Literal["nearest", "box", "bilinear", "bicubic", "catmull-rom", "mitchell", "lanczos2", "lanczos3"]
Factor = float | Decimal | Fraction
Array = np.ndarray[Any, np.dtype[Any]]

# Output pixels per dense block: small blocks waste few products, large ones make fewer calls.
# Measured with benchmarks/resize.py; on an accelerator calls cost more than products.
ROWS, COLUMNS_DOWN, COLUMNS_UP, ACCELERATOR = 16, 32, 64, 512
LARGE = 2**22
"""Bytes from which NumPy asks the system for huge pages; torch does not, and pays for each 4 KiB page."""


def _box(t: Array) -> Array:
    return ((t >= -0.5) & (t < 0.5)).astype(np.float64)


def _triangle(t: Array) -> Array:
    inside: Array = np.maximum(0.0, 1 - np.abs(t))
    return inside


@dataclass(frozen=True)
class Cubic:
    """A cubic kernel of width 4 (Mitchell and Netravali, "Reconstruction Filters", SIGGRAPH 1988, eq. 8).

    b, c: its parameters. b = 0 gives Keys' cubics with a = -c (Keys, IEEE TASSP 1981): c = 0.5 is MATLAB's bicubic and
    the Catmull-Rom spline, c = 0.75 the bicubic of OpenCV and of PyTorch without antialiasing.
    """

    b: float
    c: float

    def __call__(self, t: Array) -> Array:
        """Evaluate at distances in pixels."""
        b, c, t = self.b, self.c, np.abs(t)
        inner = (12 - 9 * b - 6 * c) / 6 * t**3 + (-18 + 12 * b + 6 * c) / 6 * t**2 + (6 - 2 * b) / 6
        outer = (-b - 6 * c) / 6 * t**3 + (6 * b + 30 * c) / 6 * t**2 - (12 * b + 48 * c) / 6 * t + (8 * b + 24 * c) / 6
        return np.where(t <= 1, inner, np.where(t <= 2, outer, 0.0))


Kernel = KernelName | Cubic
"""The name of a kernel, or a cubic by its parameters."""


def _lanczos(lobes: int) -> Callable[[Array], Array]:
    return lambda t: np.where(np.abs(t) < lobes, np.sinc(t) * np.sinc(t / lobes), 0.0)


KERNELS: dict[KernelName, tuple[Callable[[Array], Array], float]] = {
    "nearest": (_box, 1.0),
    "box": (_box, 1.0),
    "bilinear": (_triangle, 2.0),
    "bicubic": (Cubic(0, 1 / 2), 4.0),
    "catmull-rom": (Cubic(0, 1 / 2), 4.0),
    "mitchell": (Cubic(1 / 3, 1 / 3), 4.0),
    "lanczos2": (_lanczos(2), 4.0),
    "lanczos3": (_lanczos(3), 6.0),
}
"""Kernel functions and their widths in pixels at scale 1."""


def imresize(
    image: torch.Tensor,
    scale: Factor | None = None,
    size: tuple[int, int] | None = None,
    kernel: Kernel = "bicubic",
    antialias: bool = True,
) -> torch.Tensor:
    """Resample an image (..., H, W), float32 or float64 of any range, on any device; differentiable.

    scale alone: output side ceil(side·scale), computed exactly from the decimal (or from the simple fraction
    that the float stands for, so 1/1.1 is 10/11). size alone: (height, width), scale = size / side per axis.
    Both: the coordinates follow scale, the output is cut or mirrored on to size.
    The result is neither clamped nor rounded. `nearest` never antialiases.
    Rule: MATLAB's imresize (spec/protocols.md). Raises UsageError for other types, kernels, sizes or scales.
    """
    _check(image, scale, size, kernel)
    height, width = image.shape[-2:]
    if size is None:
        size = output_side(height, scale or 1), output_side(width, scale or 1)
    factors = [float(scale) if scale else out / side for out, side in zip(size, (height, width), strict=True)]
    axes = [(side, out, f) for side, out, f in zip((height, width), size, factors, strict=True)]
    if kernel == "nearest":
        for dim, (side, out, factor) in zip((-2, -1), axes, strict=True):
            image = image.index_select(dim, torch.from_numpy(_nearest(side, out, factor)).to(image.device))
        return image
    tables = [None if out == side and f == 1 else _table(side, out, f, kernel, antialias) for side, out, f in axes]
    # The smaller scale goes first. On a tie: rows are the cheap pass to read, and to write, many pixels with.
    rows_first = factors[0] < factors[1] or (factors[0] == factors[1] and factors[0] <= 1)
    result: torch.Tensor = _Separable.apply(image, *tables, rows_first)  # type: ignore[no-untyped-call]  # torch's own
    return result


def _check(image: torch.Tensor, scale: Factor | None, size: tuple[int, int] | None, kernel: Kernel) -> None:
    if kernel not in KERNELS and not isinstance(kernel, Cubic):
        raise UsageError(f"imresize: kernel '{kernel}'; choose from {', '.join(KERNELS)}")
    if image.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"imresize: image of {image.dtype}; convert it to float32 or float64")
    if image.ndim < 2 or 0 in image.shape:
        raise UsageError(f"imresize: image of shape {tuple(image.shape)}; give (..., H, W) with pixels in it")
    if scale is None and size is None:
        raise UsageError("imresize: give a scale, a size or both")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"imresize: scale {scale} must be above 0")
    if size is not None and min(size) < 1:
        raise UsageError(f"imresize: size {size} must be at least 1×1")


def output_side(side: int, scale: Factor) -> int:
    """Compute ceil(side·scale) for the number that a scale was written as."""
    return math.ceil(side * _fraction(scale))


def _fraction(scale: Factor) -> Fraction:
    if isinstance(scale, (Decimal, Fraction)):
        return Fraction(scale)
    # 1/1.1 is stored as 0.9090909090909091, a hair above 10/11: taken literally, 11 pixels would become 11.
    simple = Fraction(scale).limit_denominator(100_000)
    return simple if float(simple) == scale else Fraction(Decimal(str(scale)))


# --- weights -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Taps:
    """One axis as a sparse matrix: pixel `source` counts `weight` in pixel `target` (three flat arrays)."""

    sources: int
    targets: int
    source: Array
    target: Array
    weight: Array

    @cached_property
    def transposed(self) -> Taps:
        """Exchange input and output: the adjoint that the backward pass needs."""
        return Taps(self.targets, self.sources, self.target, self.source, self.weight)


def _contributions(side: int, out: int, scale: float, kernel: Kernel, antialias: bool) -> tuple[Array, Array]:
    """Compute 0-based source pixels and normalised float64 weights, both (out, P), by MATLAB's rule."""
    function, width = (kernel, 4.0) if isinstance(kernel, Cubic) else KERNELS[kernel]
    stretch = scale if antialias and scale < 1 else 1.0
    width /= stretch
    centre = np.arange(1, out + 1, dtype=np.float64) / scale + 0.5 * (1 - 1 / scale)
    taps = np.floor(centre - width / 2)[:, None] + np.arange(math.ceil(width) + 2)
    weights = stretch * function(stretch * (centre[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = (taps.astype(np.int64) - 1) % (2 * side)
    return np.where(mirrored < side, mirrored, 2 * side - 1 - mirrored), weights


def _nearest(side: int, out: int, scale: float) -> Array:
    pixels, weights = _contributions(side, out, scale, "nearest", antialias=False)
    chosen: Array = np.take_along_axis(pixels, weights.argmax(axis=1)[:, None], axis=1)[:, 0]
    return chosen


@lru_cache(maxsize=128)
def _table(side: int, out: int, scale: float, kernel: Kernel, antialias: bool) -> Taps:
    pixels, weights = _contributions(side, out, scale, kernel, antialias)
    target = np.broadcast_to(np.arange(out)[:, None], pixels.shape)
    used = weights != 0
    return Taps(side, out, pixels[used], target[used], weights[used])


Block = tuple[slice, slice, torch.Tensor]
"""Output pixels, input pixels, and the dense matrix (outputs, inputs) between them."""


@lru_cache(maxsize=128)
def _blocks(taps: Taps, length: int, dtype: torch.dtype, device: torch.device, columns: bool) -> tuple[Block, ...]:
    """Cut an axis into dense blocks of `length` output pixels; transposed for products from the right."""
    block = taps.target // length
    count = -(-taps.targets // length)
    first, last = np.full(count, taps.sources), np.zeros(count, dtype=np.int64)
    np.minimum.at(first, block, taps.source)
    np.maximum.at(last, block, taps.source)
    reach = max(1, int((last - first).max()) + 1)
    first = np.clip(first, 0, taps.sources - reach)
    place = taps.target * reach + taps.source - first[block]
    dense = np.bincount(place, taps.weight, count * length * reach).reshape(count, length, reach)
    matrices = torch.from_numpy(dense).to(device, dtype)
    found = []
    for index, start in enumerate(first.tolist()):
        end = min((index + 1) * length, taps.targets)
        matrix = matrices[index, : end - index * length]
        matrix = matrix.t().contiguous() if columns else matrix
        found.append((slice(index * length, end), slice(start, start + reach), matrix))
    return tuple(found)


# --- the two passes ----------------------------------------------------------


class _Separable(torch.autograd.Function):
    """Apply one matrix to the rows and one to the columns of each plane; None leaves an axis as it is."""

    @staticmethod
    def forward(
        ctx: Any, image: torch.Tensor, rows: Taps | None, columns: Taps | None, rows_first: bool
    ) -> torch.Tensor:
        ctx.tables, ctx.rows_first = (rows, columns), rows_first
        apply = _on_cpu if image.device.type == "cpu" else _on_accelerator
        planes = image.reshape(-1, *image.shape[-2:]).contiguous()
        result = apply(planes, rows, columns, rows_first)
        # A pass without work must not hand the input back: autograd would take it for changed in place.
        result = result.clone() if result.data_ptr() == image.data_ptr() else result
        return result.view(*image.shape[:-2], *result.shape[-2:])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        rows, columns = (table and table.transposed for table in ctx.tables)
        image = _Separable.apply(gradients[0], rows, columns, not ctx.rows_first)  # type: ignore[no-untyped-call]  # torch's own
        return image, None, None, None


def _on_cpu(planes: torch.Tensor, rows: Taps | None, columns: Taps | None, rows_first: bool) -> torch.Tensor:
    """Resample (N, H, W) plane by plane, so that what lies between the two passes stays in the cache."""
    count, height, width = planes.shape
    out_height, out_width = rows.targets if rows else height, columns.targets if columns else width
    like = (planes.dtype, planes.device)
    down = _blocks(rows, ROWS, *like, False) if rows else ()
    length = COLUMNS_UP if out_width > width else COLUMNS_DOWN
    across = _blocks(columns, length, *like, True) if columns else ()
    if not (down or across):
        return planes
    result = _empty((count, out_height, out_width), planes.dtype)
    between = _empty((out_height, width) if rows_first else (height, out_width), planes.dtype)
    for source, target in zip(planes.unbind(), result.unbind(), strict=True):
        middle = between if down and across else target
        if down and rows_first:
            _down(source, down, middle)
        if across:
            first = not (down and rows_first)
            _across(source if first else middle, across, middle if first else target)
        if down and not rows_first:
            _down(middle if across else source, down, target)
    return result


def _down(source: torch.Tensor, blocks: tuple[Block, ...], target: torch.Tensor) -> None:
    for outputs, inputs, matrix in blocks:
        torch.mm(matrix, source[inputs], out=target[outputs])


def _across(source: torch.Tensor, blocks: tuple[Block, ...], target: torch.Tensor) -> None:
    for outputs, inputs, matrix in blocks:
        torch.mm(source[:, inputs], matrix, out=target[:, outputs])


def _on_accelerator(planes: torch.Tensor, rows: Taps | None, columns: Taps | None, rows_first: bool) -> torch.Tensor:
    """Resample (N, H, W) with few large products over all planes at once."""
    like = (planes.dtype, planes.device)
    with torch.autocast(planes.device.type, enabled=False):
        for along_rows in (rows_first, not rows_first):
            if along_rows and rows:
                blocks = _blocks(rows, ACCELERATOR, *like, False)
                planes = torch.cat([matrix @ planes[:, inputs] for _, inputs, matrix in blocks], dim=1)
            elif not along_rows and columns:
                blocks = _blocks(columns, ACCELERATOR, *like, True)
                planes = torch.cat([planes[:, :, inputs] @ matrix for _, inputs, matrix in blocks], dim=2)
    return planes


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    if math.prod(shape) * dtype.itemsize < LARGE:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(np.empty(shape, dtype=np.float32 if dtype == torch.float32 else np.float64))

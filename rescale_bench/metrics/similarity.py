"""Compute PSNR and SSIM of tensors.

SSIM's Gaussian filter is a banded matrix; in blocks of 16 pixels it becomes dense matrix products, which cost
less than 11 shifted additions. Rows go through in strips, so that the moments never leave the CPU's cache. On other
devices the strips are large and the results come back together, since each call and each transfer costs a wait.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal

import torch

from rescale_bench.errors import UndefinedValueError, UsageError

Edges = Literal["valid", "symmetric"]
Plane = tuple[torch.Tensor, torch.Tensor]

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
RIM = WINDOW - 1
BLOCK = 16
STRIP = 64
"""Rows per thread and strip: 64 rows of a 1024 px plane keep one core's second-level cache busy and no more."""
PLANES = 15
"""Planes in the workspace of a strip: four moments in three stages, and three for the map."""
DEVICE_BYTES = 2**29
"""Bytes of that workspace on other devices: 2 K images go through in one strip."""
CHUNK = 2**14
"""Elements summed at a time: below torch's threshold for threads, whose number would move the last digit."""


def psnr(a: torch.Tensor, b: torch.Tensor, peak: float = 255) -> float:
    """Compute the peak signal-to-noise ratio in dB over all elements jointly; inf for equal images.

    a, b: same shape, uint8 (summed exactly in integers) or float (summed in float64), in [0, peak].
    Formula: 10·log10(peak² / mean squared error). Raises UsageError where the shapes differ.
    """
    _check_shapes("PSNR", a, b)
    total = squared_error(a, b)
    return 10 * math.log10(peak**2 * a.numel() / total) if total else math.inf


def squared_error(a: torch.Tensor, b: torch.Tensor) -> float:
    """Sum the squared differences of two tensors, exactly where both are uint8."""
    kind = torch.int32 if a.dtype == b.dtype == torch.uint8 else torch.float64
    if not a.is_cpu:
        difference = a.to(kind) - b
        return difference.mul_(difference).sum().item()  # of int32 in int64: nothing overflows
    total: float = 0
    for x, y in zip(torch.split(a.reshape(-1), CHUNK), torch.split(b.reshape(-1), CHUNK), strict=True):
        difference = x.to(kind) - y
        total += difference.mul_(difference).sum().item()
    return total


def ssim(
    a: torch.Tensor,
    b: torch.Tensor,
    data_range: float = 255,
    edges: Edges = "valid",
    dtype: torch.dtype = torch.float64,
) -> float:
    """Compute the mean structural similarity of images (..., H, W), averaged over all leading dimensions.

    a, b: same shape, uint8 or float in [0, data_range]. edges: "valid" keeps the windows inside the image,
    "symmetric" mirrors the image (edge pixel repeated) and keeps every pixel. dtype: of the arithmetic;
    float32 takes half the time and moves the value by less than 1e-6.
    Definition: Wang et al., IEEE TIP 2004, eq. 13, sec. III-C: Gaussian window 11×11, σ 1.5, population moments,
    K1 0.01, K2 0.03. Raises UsageError where the shapes differ, UndefinedValueError below 11×11 pixels.
    """
    _check_shapes("SSIM", a, b)
    values = ssim_planes(list(zip(_planes(a), _planes(b), strict=True)), data_range, edges, dtype)
    return sum(values) / len(values)


def ssim_planes(
    planes: Sequence[Plane], data_range: float = 255, edges: Edges = "valid", dtype: torch.dtype = torch.float64
) -> list[float]:
    """Compute the mean SSIM of each pair of planes (H, W), all of one size; see ssim."""
    height, width = planes[0][0].shape
    if min(height, width) < WINDOW:
        raise UndefinedValueError(f"SSIM needs {WINDOW}×{WINDOW} pixels; {width}×{height} are left inside the border")
    if edges == "symmetric":
        planes = [(_mirrored(a), _mirrored(b)) for a, b in planes]
    strips = _Strips(planes[0][0], data_range, dtype)
    rows = torch.cat([part for a, b in planes for part in strips.row_sums(a, b)]).tolist()
    count, pixels = strips.height, strips.height * strips.width
    return [math.fsum(rows[first : first + count]) / pixels for first in range(0, len(rows), count)]


def _check_shapes(what: str, a: torch.Tensor, b: torch.Tensor) -> None:
    if a.shape != b.shape or not a.numel():
        raise UsageError(f"{what} compares images of one shape, not {tuple(a.shape)} with {tuple(b.shape)}")


def _planes(image: torch.Tensor) -> Sequence[torch.Tensor]:
    return image.reshape(-1, *image.shape[-2:]).unbind()


def _mirrored(plane: torch.Tensor) -> torch.Tensor:
    for dim in (0, 1):
        near, far = plane.narrow(dim, 0, RIM // 2), plane.narrow(dim, plane.shape[dim] - RIM // 2, RIM // 2)
        plane = torch.cat([near.flip(dim), plane, far.flip(dim)], dim)
    return plane


@lru_cache(maxsize=8)
def _filter(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Build the matrix (BLOCK, BLOCK + RIM) that filters one block of an axis."""
    window = torch.exp(-0.5 * ((torch.arange(WINDOW, dtype=torch.float64) - RIM // 2) / SIGMA) ** 2)
    window /= window.sum()
    matrix = torch.zeros(BLOCK, BLOCK + RIM, dtype=torch.float64)
    for row in range(BLOCK):
        matrix[row, row : row + WINDOW] = window
    return matrix.to(device, dtype)


def _strip_rows(like: torch.Tensor, dtype: torch.dtype) -> int:
    """Choose how many rows of a plane go through at a time."""
    if like.is_cpu:
        return STRIP * torch.get_num_threads()
    return max(STRIP, DEVICE_BYTES // (PLANES * dtype.itemsize * like.shape[1]))


class _Strips:
    """The workspace for planes of one size: a strip's four moments before, between and after the two passes.

    The moments are x, y, x² + y² and xy: SSIM needs no more, since σx² and σy² enter as their sum.
    After the columns' pass pixels lie in blocks (block, row, column of the block), padded to whole blocks.
    """

    def __init__(self, like: torch.Tensor, data_range: float, dtype: torch.dtype) -> None:
        self.height, self.width = like.shape[0] - RIM, like.shape[1] - RIM
        self.constants = (K1 * data_range) ** 2, (K2 * data_range) ** 2
        self.rows = BLOCK * -(-min(_strip_rows(like, dtype), self.height) // BLOCK)
        self.blocks = -(-self.width // BLOCK)
        stride, lines = self.blocks * BLOCK + RIM, self.rows // BLOCK

        def room(*shape: int) -> torch.Tensor:
            # Zeros, because the padding must stay finite; it is left out of the sums.
            return torch.zeros(shape, dtype=dtype, device=like.device)

        self.moments, between = room(4, self.rows + RIM, stride), room(4, lines, BLOCK, stride)
        filtered = room(self.blocks, 4 * self.rows, BLOCK)
        matrix = _filter(dtype, like.device)
        windows = self.moments.as_strided((4, lines, BLOCK + RIM, stride), _strides(self.moments))
        self.down = [(matrix.expand(lines, -1, -1), windows[m], between[m]) for m in range(4)]
        across = between.as_strided((self.blocks, 4 * self.rows, BLOCK + RIM), (BLOCK, stride, 1))
        self.across = across, matrix.t().contiguous().expand(self.blocks, -1, -1), filtered
        self.filtered = filtered.view(self.blocks, 4, self.rows, BLOCK)
        self.scratch = [room(self.blocks, self.rows, BLOCK) for _ in range(3)]

    def row_sums(self, a: torch.Tensor, b: torch.Tensor) -> Iterator[torch.Tensor]:
        """Sum the SSIM map of two planes (H, W) along the rows of its valid region: float64 (rows,) of each strip."""
        # Sums per row do not depend on how many rows a strip has or how many threads share it.
        for top in range(0, self.height, self.rows):
            count = min(self.rows, self.height - top)
            self._filter_moments(a[top : top + count + RIM], b[top : top + count + RIM])
            similarity = self._map()
            similarity[-1, :, self.width - BLOCK * (self.blocks - 1) :] = 0
            yield similarity[:, :count].sum((0, 2), dtype=torch.float64)

    def _filter_moments(self, a: torch.Tensor, b: torch.Tensor) -> None:
        x, y, squares, product = self.moments[:, : a.shape[0], : a.shape[1]].unbind()
        x.copy_(a)
        y.copy_(b)
        torch.mul(x, y, out=product)
        torch.mul(x, x, out=squares).addcmul_(y, y)
        for matrix, windows, target in self.down:
            torch.bmm(matrix, windows, out=target)
        windows, matrix, target = self.across
        torch.bmm(windows, matrix, out=target)

    def _map(self) -> torch.Tensor:
        """Compute (2 µxµy + C1)(2 σxy + C2) / ((µx² + µy² + C1)(σx² + σy² + C2)) (eq. 13)."""
        c1, c2 = self.constants
        mean_x, mean_y, squares, product = self.filtered.unbind(1)
        cross, powers, spread = self.scratch
        torch.mul(mean_x, mean_y, out=cross)
        torch.mul(mean_x, mean_x, out=powers).addcmul_(mean_y, mean_y)
        torch.sub(squares, powers, out=spread).add_(c2)
        powers.add_(c1).mul_(spread)
        torch.sub(product, cross, out=spread).mul_(2).add_(c2)
        return cross.mul_(2).add_(c1).mul_(spread).div_(powers)


def _strides(moments: torch.Tensor) -> tuple[int, int, int, int]:
    """Let windows of BLOCK + RIM rows begin every BLOCK rows of each moment."""
    moment, row, column = moments.stride()
    return moment, BLOCK * row, row, column

"""Area average, DPID and perceptual downscaling, in float64.

The patch of LR pixel (i, j) is the rectangle [i·H/h, (i+1)·H/h) × [j·W/w, (j+1)·W/w) of HR: the step is the ratio of
the sizes, not the scale. An HR pixel counts in a patch with the part of it that lies inside.
Loops run over the few HR pixels of a patch, each step over the whole image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.nn import functional

from rescale_bench.api.scales import lr_size
from rescale_bench.errors import MethodError
from rescale_bench.images.levels import from_levels, to_levels

Size = tuple[int, int]
FLAT = 1e-6
"""Variance of a window of LR pixels in [0, 1] below which its contrast is not raised (perceptual)."""


class Downscaler:
    """Shrink with a function of the HR levels (N, 3, H, W), 0..255, and the LR size; there is no upscaler."""

    parameter_count = 0

    def __init__(self, function: Callable[[torch.Tensor, Size], torch.Tensor]) -> None:
        """Take the function; it returns levels (N, 3, h, w)."""
        self.function = function

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR of size ceil(H/scale) × ceil(W/scale)."""
        return self.function(from_levels(hr), lr_size((hr.shape[-2], hr.shape[-1]), scale)) / 255

    def upscale(self, lr: torch.Tensor, scale: float, size: Size) -> torch.Tensor:
        """Raise MethodError."""
        raise MethodError("this method only shrinks; pair it with an upscaler, for example dpid+bicubic")


def coverage(side: int, out: int, device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield, for each place in a patch along one axis, its pixel in every patch and the part of it inside, both (out,).

    Where patches are of different lengths, the part is 0 in those that lack the place.
    """
    # In units of 1/out of an HR pixel all ends are whole numbers: patch j is [j·side, (j+1)·side).
    start = torch.arange(out) * side
    longest = -(-side // out) + (side % out != 0)
    for place in range(longest):
        pixel = start // out + place
        inside = torch.minimum((pixel + 1) * out, start + side) - torch.maximum(pixel * out, start)
        part = inside.clamp(min=0).to(torch.float64) / out
        yield pixel.clamp(max=side - 1).to(device), part.to(device)


def area(image: torch.Tensor, size: Size) -> torch.Tensor:
    """Average each patch of (N, C, H, W) in float64, of any range; returns (N, C, h, w)."""
    (count, channels, height, width), (h, w) = image.shape, size
    rows = image.new_zeros((count, channels, h, width))
    for pixel, part in coverage(height, h, image.device):
        rows.add_(image.index_select(-2, pixel).mul_(part[:, None]))
    result = image.new_zeros((count, channels, h, w))
    for pixel, part in coverage(width, w, image.device):
        result.add_(rows.index_select(-1, pixel).mul_(part))
    return result.div_(height / h * (width / w))


def dpid(levels: torch.Tensor, size: Size, exponent: float, rounding: str) -> torch.Tensor:
    """Average each patch with weights that grow with a pixel's distance from the smoothed average.

    levels: (N, 3, H, W), 0..255. exponent: the paper's λ; 0 gives the area average. rounding: as levels.to_levels,
    of the guidance and of the result (N, 3, h, w). Source: Weber et al. (SIGGRAPH Asia 2016), sec. 3, as in the
    authors' program. Their factor 1 / (255·√3) on distances cancels out.
    """
    guide = smooth(_to_8_bit(area(levels, size), rounding))
    total, weights = torch.zeros_like(guide), torch.zeros_like(guide[:, :1])
    for row, down in coverage(levels.shape[-2], size[0], levels.device):
        strip = levels.index_select(-2, row)
        for column, across in coverage(levels.shape[-1], size[1], levels.device):
            pixels = strip.index_select(-1, column)
            distance = (pixels - guide).square_().sum(1, keepdim=True).pow_(exponent / 2)
            weight = distance.mul_(down[:, None] * across)
            total.addcmul_(weight, pixels)
            weights.add_(weight)
    return _to_8_bit(torch.where(weights > 0, total / weights, guide), rounding)


def _to_8_bit(levels: torch.Tensor, rounding: str) -> torch.Tensor:
    return to_levels(levels / 255, rounding).to(torch.float64)


def smooth(image: torch.Tensor) -> torch.Tensor:
    """Weigh (N, C, h, w) with (1 2 1; 2 4 2; 1 2 1) over the neighbours inside the image."""
    for axis in (-2, -1):
        image = _smooth_along(image, axis)
    return image


def _smooth_along(image: torch.Tensor, axis: int) -> torch.Tensor:
    side = image.shape[axis]
    total, weights = 2 * image, image.new_full((side,), 2.0)
    total.narrow(axis, 1, side - 1).add_(image.narrow(axis, 0, side - 1))
    total.narrow(axis, 0, side - 1).add_(image.narrow(axis, 1, side - 1))
    weights[1:] += 1
    weights[:-1] += 1
    return total.div_(weights[:, None] if axis == -2 else weights)


def perceptual(levels: torch.Tensor, size: Size, window: int) -> torch.Tensor:
    """Raise the contrast of the area average to that of the HR, window by window, which maximises SSIM.

    levels: (N, 3, H, W), 0..255; returns (N, 3, h, w). window: its side in LR pixels; an LR that is smaller makes it
    smaller. Source: Öztireli and Gross (SIGGRAPH 2015), sec. 3.
    """
    hr = levels / 255
    low, energy = area(hr, size), area(hr.square(), size)
    sides = min(window, size[0]), min(window, size[1])

    def mean(image: torch.Tensor) -> torch.Tensor:
        return functional.avg_pool2d(image, sides, stride=1)

    def spread(values: torch.Tensor) -> torch.Tensor:
        """Average over the windows that hold a pixel."""
        pad = (sides[1] - 1,) * 2 + (sides[0] - 1,) * 2
        total, count = (mean(functional.pad(each, pad)) for each in (values, torch.ones_like(values)))
        return total / count

    average = mean(low)
    have = mean(low.square()) - average.square()
    want = (mean(energy) - average.square()).clamp_(min=0)
    gain = torch.where(have < FLAT, 0.0, (want / have).sqrt())
    return (spread(average) + low * spread(gain) - spread(gain * average)).clamp_(0, 1) * 255

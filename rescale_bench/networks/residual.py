"""Residual trunks: mean shift, residual block, and their evaluation in strips of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import torch
from torch import nn

from rescale_bench.networks.lines import Residual

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K in [0, 1] (Lim et al., EDSR, CVPRW 2017, published settings)."""

STRIP_PIXELS = 1 << 15
"""Pixels of a strip unless asked otherwise."""
Module = TypeVar("Module", bound=nn.Module)
Window = Callable[[torch.Tensor, slice], torch.Tensor]


class MeanShift(nn.Module):
    """Add a constant colour, written as the 1×1 convolution that published checkpoints hold.

    weight (3, 3, 1, 1) is the identity, bias (3,) is sign · RGB_MEAN · span. Both count as parameters there and are
    never trained.
    """

    def __init__(self, sign: int, span: int = 1) -> None:
        """Take the sign, -1 before a network, +1 after it, and the largest value of a pixel: 1 or 255."""
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3).view(3, 3, 1, 1), requires_grad=False)
        self.bias = nn.Parameter(sign * span * torch.tensor(RGB_MEAN), requires_grad=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Shift (N, 3, H, W)."""
        return nn.functional.conv2d(image, self.weight, self.bias)


def conv3(inputs: int, outputs: int) -> nn.Conv2d:
    """Make a 3×3 convolution that keeps the size (zeros outside)."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def upsampler(width: int, scale: int) -> nn.Sequential:
    """Make a 3×3 convolution and a pixel shuffle for each factor 2 of the scale (2, 4, 8), or one for a factor 3."""
    layers: list[nn.Module] = []
    for factor in {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}[scale]:
        layers += [conv3(width, width * factor**2), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


def channels_last(module: Module) -> Module:
    """Store the kernels of all convolutions channels last, which makes their outputs so; return the module."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stub
    return module


class ResidualBlock(nn.Module):
    """Compute x + scale · conv(relu(conv(x))) (EDSR, Fig. 2c and sec. 3.1).

    halo: rows around a strip that its result depends on.
    """

    halo = 2

    def __init__(self, width: int, scale: float = 1.0) -> None:
        """Take the number of channels and the residual scale."""
        super().__init__()
        self.body = nn.Sequential(conv3(width, width), nn.ReLU(inplace=True), conv3(width, width))
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, width, H, W) to the same shape."""
        residual: torch.Tensor = self.body(x)
        return (residual if self.scale == 1 else residual.mul_(self.scale)).add_(x)

    def streamed(self) -> Residual:
        """Give the same for a stream of rows; not for autograd."""
        first, second = cast(nn.Conv2d, self.body[0]), cast(nn.Conv2d, self.body[2])
        return Residual(first, second, self.scale)

    def refine(self, x: torch.Tensor) -> None:
        """Do the same in place, in strips of rows; not for autograd."""
        refine(x, self.halo, lambda window, _: self(window))


def strips(height: int, width: int, halo: int, pixels: int = STRIP_PIXELS) -> Iterator[slice]:
    """Cut rows 0..height into slices of about the given number of pixels, at least 16 rows for each of the halo."""
    rows = max(16, 16 * halo, pixels // max(width, 1))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def widen(rows: slice, halo: int, height: int) -> slice:
    """Extend a slice of rows by the halo, within 0..height."""
    return slice(max(rows.start - halo, 0), min(rows.stop + halo, height))


def refine(x: torch.Tensor, halo: int, function: Window) -> torch.Tensor:
    """Replace x (N, C, H, W) by function(x) in place, strip by strip, and return it; not for autograd.

    function takes rows of x with the halo around them (cut at the image's edges) and which rows they are, leaves
    them as they are and returns as many; it must depend on no row beyond the halo. The result equals that on the
    whole image, but besides x there is only memory for strips, and those stay in the processor's cache.
    """
    height = x.shape[2]
    done: slice | None = None
    result: torch.Tensor | None = None
    for rows in strips(height, x.shape[3], halo):
        window = widen(rows, halo, height)
        fresh = function(x[:, :, window], window)
        # Written one strip late: the next strip still needs the old rows above it.
        if done is not None and result is not None:
            x[:, :, done] = result
        done = rows
        result = fresh[:, :, rows.start - window.start : rows.stop - window.start]
    if done is not None and result is not None:
        x[:, :, done] = result
    return x

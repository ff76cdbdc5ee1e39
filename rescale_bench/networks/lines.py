"""Convolutional trunks computed as a stream of rows: every layer keeps the few rows that its next ones look back on.

A map enters as slabs of rows from top to bottom and passes all layers before the next slab does, so that neither
the input nor any intermediate map exists as a whole, and every row of every layer is computed exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import torch
from torch import nn
from torch.nn import functional

SLAB_BYTES = 1 << 22
"""Bytes of a slab on the CPU: small enough for the cache, large enough that the rows kept between slabs are few."""

DEVICE_FACTOR = 64
"""Slabs elsewhere are larger by this: a GPU wants all its processors busy."""

LEAST_ROWS = 16
"""Of a slab, however wide."""


class Layer(Protocol):
    """Something that turns rows into rows of the same map size, some rows late."""

    def push(self, rows: torch.Tensor, last: bool) -> torch.Tensor:
        """Take the next rows (1, C, n, W) and return those that can be computed now, down to the end if last."""


class Lines:
    """The lowest rows seen so far of a map, with the row of zeros above and below it that 3×3 convolutions pad with.

    top: index of the first row held (-1 for the zeros above). bottom: one past the last one.
    """

    def __init__(self, kept: int) -> None:
        """Keep at least this many rows of what came before."""
        self.kept = kept
        self.top = self.bottom = -1
        self.map: torch.Tensor | None = None
        self.store: torch.Tensor | None = None
        self.whole = False

    @property
    def ready(self) -> int:
        """Count the rows, from the top of the image, whose 3×3 neighbourhood has come."""
        return max(self.bottom - 1, 0)

    def push(self, rows: torch.Tensor, last: bool) -> None:
        """Add rows (1, C, n, W) below; last adds the zeros under the image."""
        if self.map is None and last:
            # The whole image at once needs no rows of zeros: convolutions pad by themselves.
            self.map, self.top, self.bottom, self.whole = rows, 0, rows.shape[2] + 1, True
            return
        zeros = rows.new_zeros((1, 1, rows.shape[3], rows.shape[1])).permute(0, 3, 1, 2)
        before = zeros if self.map is None else self.map[:, :, -self.kept :]
        self.bottom += rows.shape[2] + (self.map is None) + last
        joined = torch.cat((before, rows, zeros) if last else (before, rows), 2)
        # No copy, except for the shapes whose layout is ambiguous.
        self.map = joined.contiguous(memory_format=torch.channels_last)
        self.top = self.bottom - self.map.shape[2]

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Give rows start..stop without copying."""
        if self.map is None or not self.top <= start <= stop <= self.bottom:
            raise IndexError(f"rows {start} to {stop} of a map that holds {self.top} to {self.bottom}")
        return self.map[:, :, start - self.top : stop - self.top]

    def convolve(self, start: int, weight: torch.Tensor, bias: torch.Tensor | None, stop: int = -1) -> torch.Tensor:
        """Convolve with a 3×3 kernel: rows start..stop of the result (to `ready` unless given)."""
        stop = self.ready if stop < 0 else stop
        if stop <= start:
            width = 0 if self.map is None else self.map.shape[3]
            return weight.new_empty((1, len(weight), 0, width))
        if self.whole and self.map is not None:
            return functional.conv2d(self.map, weight, bias, padding=1)
        return functional.conv2d(self.rows(start - 1, stop + 1), weight, bias, padding=(0, 1))

    def forget(self) -> None:
        """Let go of all rows but those to be kept; views of them given before stay valid."""
        if self.whole:
            self.map = None
        elif self.map is not None and self.map.shape[2] > self.kept:
            lowest = self.map[:, :, -self.kept :]
            # Always the same memory: small blocks that come and go between large ones would fragment the heap.
            self.store = torch.empty_like(lowest) if self.store is None else self.store
            self.map = self.store.copy_(lowest)
            self.top = self.bottom - self.kept


class Convolution:
    """A 3×3 convolution of a stream."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, relu: bool = False) -> None:
        """Take the kernel (outputs, inputs, 3, 3) and what follows."""
        self.weight, self.bias, self.relu = weight, bias, relu
        self.lines, self.done = Lines(2), 0

    def push(self, rows: torch.Tensor, last: bool) -> torch.Tensor:
        """Return the convolved rows, one row late."""
        self.lines.push(rows, last)
        result = self.lines.convolve(self.done, self.weight, self.bias)
        self.done += result.shape[2]
        self.lines.forget()
        return result.relu_() if self.relu else result


def convolution(layer: nn.Module) -> Convolution:
    """Stream a 3×3 nn.Conv2d."""
    known = cast(nn.Conv2d, layer)
    return Convolution(known.weight, known.bias)


class Skip:
    """Add the first convolution of an image to what became of it.

    It is computed again instead of being kept for the rows that lie between: on 3 channels it costs next to nothing.
    """

    def __init__(self, head: Convolution, image: torch.Tensor) -> None:
        """Take the convolution and the whole image (1, C, H, W)."""
        self.head, self.image, self.done = head, image, 0

    def push(self, rows: torch.Tensor, last: bool) -> torch.Tensor:
        """Add in place."""
        height, stop = self.image.shape[2], self.done + rows.shape[2]
        if stop > self.done:
            # One row further than the convolution gave so far, as it runs a row late.
            begin = self.done + (self.done > 0)
            rows.add_(self.head.push(self.image[:, :, begin : stop + 1], stop == height))
        self.done = stop
        return rows


class Residual:
    """x + scale · conv(relu(conv(x))) of a stream, two rows late."""

    def __init__(self, first: nn.Conv2d, second: nn.Conv2d, scale: float) -> None:
        """Take both 3×3 convolutions and the residual scale."""
        self.first, self.second, self.scale = first, second, scale
        self.input, self.hidden, self.done = Lines(2), Lines(2), 0

    def push(self, rows: torch.Tensor, last: bool) -> torch.Tensor:
        """Return the block's rows."""
        self.input.push(rows, last)
        hidden = self.input.convolve(max(self.hidden.bottom, 0), self.first.weight, self.first.bias).relu_()
        self.hidden.push(hidden, last)
        result = self.hidden.convolve(self.done, self.second.weight, self.second.bias)
        stop = self.done + result.shape[2]
        if stop > self.done:
            result = (result if self.scale == 1 else result.mul_(self.scale)).add_(self.input.rows(self.done, stop))
        self.done = stop
        self.input.forget()
        self.hidden.forget()
        return result


def slab_rows(width: int, channels: int, device: torch.device) -> int:
    """Count the rows of a slab of float32 maps of so many columns and channels."""
    budget = SLAB_BYTES * (1 if device.type == "cpu" else DEVICE_FACTOR)
    return max(LEAST_ROWS, budget // (4 * channels * max(width, 1)))


def stream(image: torch.Tensor, channels: int, layers: Sequence[Layer]) -> Iterator[torch.Tensor]:
    """Push an image (1, C, H, W) through layers whose maps have so many channels; yield what comes out, in order.

    What comes out is channels last.
    """
    height, width = image.shape[2:]
    rows = slab_rows(width, channels, image.device)
    for start in range(0, height, rows):
        part = image[:, :, start : start + rows].contiguous(memory_format=torch.channels_last)
        yield from _through(layers, part, start + rows >= height, rows)


def _through(layers: Sequence[Layer], part: torch.Tensor, last: bool, rows: int) -> Iterator[torch.Tensor]:
    for index, layer in enumerate(layers):
        part = layer.push(part, last)
        # At the end every layer lets go of the rows that it held back: the slab grows and is cut again.
        while part.shape[2] >= 2 * rows:
            yield from _through(layers[index + 1 :], part[:, :, :rows], False, rows)
            part = part[:, :, rows:]
    if part.shape[2]:
        yield part.contiguous(memory_format=torch.channels_last)

"""Run a method tile by tile, with so much overlap that the result is that of the whole image.

Tiles are counted in LR pixels. Their windows begin and end at multiples of a period at which LR and HR pixels
coincide (4 LR pixels are 11 HR pixels at ×2.75) and which networks that shrink further inside can halve three times.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Method, Rescaler, States, Value, count_parameters
from rescale_bench.api.scales import exact, lr_side, lr_size
from rescale_bench.errors import MethodError

if TYPE_CHECKING:
    import torch

GRID = 8
"""LR pixels that a window's ends are multiples of: networks may halve an image three times inside."""

CORES = (2048, 1024, 512, 256, 128, 64)
"""Sides of tiles that are tried, LR pixels without the overlap."""

PROBE = 64
"""Side of the LR of the image that memory is measured on."""

SAFETY = 1.5
"""Factor on what was counted: workspaces inside of kernels, and what the allocator keeps."""


def margin_of(method: Method, states: Callable[[], States], options: Mapping[str, Value]) -> int | None:
    """Return the margin of one build in LR pixels, None where its tiles cannot equal the whole.

    states: called only where the method needs its weights to say.
    """
    if method.build_margin is not None:
        return method.build_margin(states(), options)
    return None if method.traits.draws else method.margin


def draws(method: Method, states: Callable[[], States], options: Mapping[str, Value]) -> bool:
    """Tell whether one build draws random numbers; where its margin is unknown, what the record says."""
    return method.traits.draws and (method.build_margin is None or method.build_margin(states(), options) is None)


def why_whole(method: Method, margin: int | None) -> str:
    """Say why tiles of a method cannot equal the whole; "" where they can. margin: from margin_of."""
    if margin is not None:
        return ""
    if method.margin is None and method.build_margin is None:
        return f"{method.name} declares no margin: what its halves see of an image has no known bound"
    return f"{method.name} draws random numbers for the whole image"


@dataclass(frozen=True)
class Span:
    """One tile along one axis, half-open: the window that is run and the core that is kept, in LR and in HR."""

    lr_window: slice
    lr_core: slice
    hr_window: slice
    hr_core: slice


def spans(side: int, scale: float, core: int, margin: int) -> Iterator[Span]:
    """Cut an HR side (pixels) into tiles of `core` LR pixels with `margin` LR pixels on both sides of each."""
    fraction = Fraction(exact(scale))
    period = math.lcm(GRID, fraction.denominator)
    low_side, step = lr_side(side, scale), max(period, core // period * period)
    for start in range(0, low_side, step):
        first = max(0, (start - margin) // period * period)
        last = min(low_side, -(-(start + step + margin) // period) * period)
        end = min(low_side, start + step)
        hr = [side if edge == low_side else int(edge * fraction) for edge in (first, last, start, end)]
        yield Span(slice(first, last), slice(start, end), slice(hr[0], hr[1]), slice(hr[2], hr[3]))


class Tiled:
    """A Rescaler that hands its image to another one tile by tile."""

    def __init__(self, inner: Rescaler, margin: int, core: int) -> None:
        """Take the method's margin and the side of a tile without it, both in LR pixels."""
        self.inner, self.margin, self.core = inner, margin, core
        self.parameter_count = count_parameters(inner)

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR (1, C, ceil(H/scale), ceil(W/scale)), put together from tiles. Raises MethodError."""
        size = (hr.shape[-2], hr.shape[-1])
        result: torch.Tensor | None = None
        for rows, columns in self._tiles(size, scale):
            part = self.inner.downscale(hr[..., rows.hr_window, columns.hr_window].contiguous(), scale)
            wanted = _lengths(rows.lr_window, columns.lr_window)
            inside = _checked(part, wanted)[..., _within(rows, "lr"), _within(columns, "lr")]
            result = _whole(part, lr_size(size, scale)) if result is None else result
            result[..., rows.lr_core, columns.lr_core] = inside
        return _not_empty(result)

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of the given (height, width), put together from tiles. Raises MethodError."""
        result: torch.Tensor | None = None
        for rows, columns in self._tiles(size, scale):
            wanted = _lengths(rows.hr_window, columns.hr_window)
            part = self.inner.upscale(lr[..., rows.lr_window, columns.lr_window].contiguous(), scale, wanted)
            inside = _checked(part, wanted)[..., _within(rows, "hr"), _within(columns, "hr")]
            result = _whole(part, size) if result is None else result
            result[..., rows.hr_core, columns.hr_core] = inside
        return _not_empty(result)

    def _tiles(self, size: tuple[int, int], scale: float) -> Iterator[tuple[Span, Span]]:
        across = list(spans(size[1], scale, self.core, self.margin))
        for rows in spans(size[0], scale, self.core, self.margin):
            for columns in across:
                yield rows, columns


def _lengths(rows: slice, columns: slice) -> tuple[int, int]:
    return rows.stop - rows.start, columns.stop - columns.start


def _within(span: Span, kind: str) -> slice:
    """Place a core inside its window."""
    window, core = getattr(span, f"{kind}_window"), getattr(span, f"{kind}_core")
    return slice(core.start - window.start, core.stop - window.start)


def _checked(part: Any, size: tuple[int, int]) -> torch.Tensor:
    """Let a tile's result pass if it has the size that it must have. Raises MethodError."""
    shape = tuple(getattr(part, "shape", ()))
    if shape[-2:] != size or len(shape) != 4:
        raise MethodError(f"a tile came back as {shape} where {size[0]}×{size[1]} pixels are due; run it without tiles")
    result: torch.Tensor = part
    return result


def _whole(part: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return part.new_empty((*part.shape[:-2], *size))


def _not_empty(image: torch.Tensor | None) -> torch.Tensor:
    if image is None:
        raise MethodError("an image without pixels has no tiles")
    return image


# --- memory --------------------------------------------------------------------


def bytes_per_pixel(rescaler: Rescaler, scale: float, device: str = "cpu") -> float:
    """Measure the peak of live tensor memory of a round trip, in bytes per HR pixel, on a small image.

    Tensors are counted as PyTorch's operations make and drop them, so the number does not depend on the machine.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Live(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]  # torch left it without types
            self.now = self.peak = 0
            self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            for item in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(item, torch.Tensor):
                    self._count(item.untyped_storage())
            return result

        def _count(self, storage: torch.UntypedStorage) -> None:
            if storage in self.known:
                return
            self.known.add(storage)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._drop, storage.nbytes())

        def _drop(self, count: int) -> None:
            self.now -= count

    side = math.ceil(PROBE * scale)
    size = (side, side)
    hr = torch.full((1, 3, *size), 0.5, device=device)
    live = Live()
    with live:
        lr = rescaler.downscale(hr, scale).clamp(0, 1).to(torch.float32)
        rescaler.upscale(lr, scale, size)
    return live.peak / (side * side)


def fitting_core(per_pixel: float, size: tuple[int, int], scale: float, margin: int, free: float | None) -> int:
    """Choose the side of the tiles of an image: 0 where the whole fits, else the largest that does.

    per_pixel: from bytes_per_pixel. size: HR (height, width). free: bytes that may be used, None where unknown.
    """
    if free is None or SAFETY * per_pixel * size[0] * size[1] <= free:
        return 0
    for core in CORES:
        side = (core + 2 * (margin + GRID)) * scale
        if SAFETY * per_pixel * min(side, size[0]) * min(side, size[1]) <= free:
            return core
    return CORES[-1]

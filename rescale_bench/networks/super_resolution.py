"""Super-resolution networks as the upscaling half of a rescaler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from rescale_bench.api.methods import Rescaler, State, States
from rescale_bench.errors import MethodError, WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.loading import load_strict, parameter_count
from rescale_bench.networks.residual import channels_last

Enlarge = Callable[[torch.Tensor], torch.Tensor]
"""Map an LR image (N, C, h, w) in [0, 1] to (N, C, s·h, s·w)."""

OVERLAP = 10
"""LR pixels by which a quarter reaches over the middle of the image."""

QUARTER_PIXELS = 160_000
"""LR pixels from which a quarter is cut in quarters again."""


class SuperResolution(nn.Module):
    """A network that maps LR (N, C, h, w) to (N, C, s·h, s·w); `sub_mean` is its MeanShift where it has one."""

    def __init__(self, scale: int) -> None:
        """Set the scale s."""
        super().__init__()
        self.scale = scale

    @property
    def pixel_range(self) -> int:
        """Tell whether the network works on [0, 1] or, like many published files, on [0, 255].

        The mean shift says it: its constants are at most 0.4488 in the first case, 114.4 in the second.
        """
        shift = getattr(self, "sub_mean", None)
        return 255 if shift is not None and float(shift.bias.abs().max()) > 1 else 1

    def restore(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge an image in [0, 1], whatever range the network works on."""
        span = self.pixel_range
        result: torch.Tensor = self(lr) if span == 1 else self(lr * span).div_(span)
        return result


Load = Callable[[str, State], SuperResolution]
"""(part, state) → the network that the state describes."""


class Upscaler(FixedScaleRescaler):
    """Enlarge with one network; there is no downscaler."""

    def __init__(self, name: str, network: SuperResolution, enlarge: Enlarge | None = None) -> None:
        """Take the method's name, the loaded network, and a function to call in place of its `restore`."""
        super().__init__(network.scale, parameter_count=parameter_count(network))
        self.name, self.network = name, network
        self.enlarge = enlarge or network.restore

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Raise MethodError: the network only enlarges."""
        raise MethodError(f"{self.name} only enlarges; pair it with a downscaler: bicubic+{self.name}")

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge with the network."""
        return self.enlarge(lr)


def serve_upscalers(
    name: str,
    states: States,
    load: Load,
    wrap: Callable[[SuperResolution], Enlarge] | None = None,
) -> Rescaler:
    """Build the upscaling half from the states of one or several scales; their parts are called x2, x4, ….

    wrap: network → what to call in place of its `restore`.
    Raises WeightsError where a network is not of its part's scale.
    """
    rescalers: dict[int, FixedScaleRescaler] = {}
    for part, state in states.items():
        network = load(part, state)
        if part != f"x{network.scale}":
            raise WeightsError(f"{name} {part}: these weights are for scale {network.scale}")
        rescalers[network.scale] = Upscaler(name, network, wrap(network) if wrap else None)
    return serve(rescalers)


def loader(name: str, network: Callable[[int], SuperResolution], device: str) -> Load:
    """Make the `load` of serve_upscalers out of scale → a network whose state has the published layout.

    It raises WeightsError where a state does not fit.
    """

    def load(part: str, state: State) -> SuperResolution:
        with torch.device("meta"):
            module = network(int(part.removeprefix("x")))
        return channels_last(load_strict(module, state.tensors, f"{name} {part}")).to(device)

    return load


def in_quarters(network: SuperResolution) -> Enlarge:
    """Make a network enlarge an image in four overlapping quarters, as RCAN's and SAN's authors did (`--chop`)."""
    return partial(_in_quarters, network.restore, network.scale)


def _in_quarters(enlarge: Enlarge, scale: int, lr: torch.Tensor) -> torch.Tensor:
    count, channels, height, width = lr.shape
    result = lr.new_empty((count, channels, height * scale, width * scale))
    for rows, window_rows in _halves(height):
        for columns, window_columns in _halves(width):
            quarter = lr[..., window_rows, window_columns]
            large = quarter.shape[-2] * quarter.shape[-1] >= QUARTER_PIXELS
            restored = _in_quarters(enlarge, scale, quarter) if large else enlarge(quarter)
            result[..., _times(rows, scale), _times(columns, scale)] = restored[
                ..., _times(rows, scale, window_rows.start), _times(columns, scale, window_columns.start)
            ]
    return result


def _halves(side: int) -> list[tuple[slice, slice]]:
    """Cut an axis into two halves, the first the smaller one, and say which window each is computed from."""
    half = side // 2
    window = min(side, half + OVERLAP)
    halves = [(slice(0, half), slice(0, window)), (slice(half, side), slice(side - window, side))]
    return [(kept, seen) for kept, seen in halves if kept.stop > kept.start]


def _times(part: slice, scale: int, origin: int = 0) -> slice:
    return slice((part.start - origin) * scale, (part.stop - origin) * scale)

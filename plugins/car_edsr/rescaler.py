"""CAR's two networks as a rescaler."""

from __future__ import annotations

import math

import torch

from rescale_bench.api.records import Rescaler, State, States
from rescale_bench.errors import WeightsError
from rescale_bench.networks.edsr import PUBLISHED_RESIDUAL_SCALE, Edsr, load_edsr, residual_scale
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.loading import load_strict, parameter_count
from rescale_bench.networks.padding import pad_bottom_right, pad_to_multiple
from rescale_bench.networks.residual import channels_last

from .kernels import KernelLayout, KernelNetwork
from .sampler import resample

SIDES = 8
"""HR sides are multiples of this: the network looks at the image at 1/8."""

SMALLEST = 16
"""The smallest HR side: at 1/8, reflection needs two pixels."""


class CarRescaler(FixedScaleRescaler):
    """Shrink with kernels and offsets made for the image, enlarge with EDSR."""

    def __init__(self, kernels: KernelNetwork, restorer: Edsr) -> None:
        """Take two loaded networks of one scale."""
        count = parameter_count(kernels) + parameter_count(restorer)
        super().__init__(kernels.layout.scale, SIDES, count)
        self.kernels, self.restorer = kernels, restorer

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Shrink with the kernels that the first network finds for this image."""
        # What a side below 16 gains here is cut off with the padding to a multiple of 8.
        height, width = hr.shape[-2:]
        hr = pad_bottom_right(hr, max(SMALLEST - height, 0), max(SMALLEST - width, 0))
        lr = resample(hr, self.kernels(hr), self.scale)
        return lr[..., : height // self.scale, : width // self.scale]

    @torch.inference_mode()
    def resampling_kernels(self, hr: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return weights and places of the taps of every LR pixel (see Rescaler); HR sides of 16 and more."""
        self._check_scale(scale)
        weights, offsets_h, offsets_v = (field[0] for field in self.kernels(pad_to_multiple(hr, SIDES)))
        side = math.isqrt(weights.shape[0])
        grid = torch.arange(side, dtype=weights.dtype, device=weights.device) - side // 2
        y, x = grid.repeat_interleave(side), grid.repeat(side)
        return weights, y[:, None, None] + self.scale * offsets_v, x[:, None, None] + self.scale * offsets_h

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge with EDSR."""
        return self.restorer.restore(lr)


def build_car(states: States, device: str) -> Rescaler:
    """Build from the states "kgn-xS" and "usn-xS" of one or several scales S.

    Raises WeightsError for a state that is missing, does not fit its network, or is of another scale.
    """
    rescalers: dict[int, FixedScaleRescaler] = {}
    for scale in sorted({int(part.partition("-x")[2]) for part in states}):
        kernels = _kernels(_state(states, f"kgn-x{scale}"), device, f"car-edsr kgn-x{scale}")
        where, state = f"car-edsr usn-x{scale}", _state(states, f"usn-x{scale}")
        restorer = load_edsr(
            state.tensors, residual_scale(state.metadata, PUBLISHED_RESIDUAL_SCALE, where), device, where
        )
        for part, found in (("kgn", kernels.layout.scale), ("usn", restorer.layout.scale)):
            if found != scale:
                raise WeightsError(f"car-edsr {part}-x{scale}: these weights are for scale {found}")
        rescalers[scale] = CarRescaler(kernels, restorer)
    return serve(rescalers)


def _state(states: States, part: str) -> State:
    if part not in states:
        raise WeightsError(f"car-edsr: the weights of part {part} are missing; its kgn and usn belong together")
    return states[part]


def _kernels(state: State, device: str, where: str) -> KernelNetwork:
    layout = KernelLayout.infer(state.tensors, where)
    with torch.device("meta"):
        network = KernelNetwork(layout)
    return channels_last(load_strict(network, state.tensors, where)).to(device)

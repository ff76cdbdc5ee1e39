"""SRCNN: three convolutions on the enlarged Y plane (Dong et al., TPAMI 2016)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast, get_args

import torch
from torch import nn

from rescale_bench.api.records import State
from rescale_bench.errors import WeightsError
from rescale_bench.images.levels import resize_levels
from rescale_bench.networks.super_resolution import SuperResolution

KERNELS = ((1, 64, 9), (64, 32, 5), (32, 1, 5))
"""Inputs, outputs and side of the three kernels of "9-5-5"."""

Padding = Literal["zeros", "replicate"]
BORDERS = "padding"
"""Name in the metadata of a weights file of what lies around an image: `zeros` (the ports) or `replicate` (authors)."""


class Srcnn(SuperResolution):
    """Map Y (N, 1, h, w) to (N, 1, s·h, s·w), both in [0, 1]: MATLAB's bicubic, then conv, ReLU, conv, ReLU, conv."""

    def __init__(self, scale: int, padding: Padding) -> None:
        """Set the scale, and what lies around an image: `zeros` or `replicate`."""
        super().__init__(scale)
        for layer, (inputs, outputs, side) in enumerate(KERNELS, start=1):
            convolution = nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode=padding)
            self.add_module(f"conv{layer}", convolution)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore Y."""
        size = lr.shape[-2] * self.scale, lr.shape[-1] * self.scale
        return self.refine(resize_levels(lr, self.scale, size).to(lr.dtype))

    def refine(self, enlarged: torch.Tensor) -> torch.Tensor:
        """Restore Y that was enlarged already (sec. 3.1, eq. 1 to 3)."""
        first, second, third = self.children()
        result: torch.Tensor = third(torch.relu(second(torch.relu(first(enlarged)))))
        return result


def padding_of(state: State, where: str) -> Padding:
    """Read from a state's metadata what lies around an image; zeros where it says nothing. Raises WeightsError."""
    given = state.metadata.get(BORDERS, "zeros")
    for padding in get_args(Padding):
        if given == padding:
            return cast(Padding, padding)
    raise WeightsError(f"{where}: metadata {BORDERS}={given}; it must be zeros or replicate")


def translate(tensors: Mapping[str, torch.Tensor]) -> State:
    """Bring the authors' MATLAB arrays and the keys of a second port to the keys of the first; others stay."""
    if "weights_conv1" in tensors:
        return State(_from_matlab(tensors), {BORDERS: "replicate"})
    names = {"features.0": "conv1", "map.0": "conv2", "reconstruction": "conv3"}
    pattern = re.compile("|".join(f"^{re.escape(name)}(?=\\.)" for name in names))
    renamed = {pattern.sub(lambda found: names[found[0]], key): tensor for key, tensor in tensors.items()}
    return State(renamed, {BORDERS: "zeros"})


def _from_matlab(arrays: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn weights_conv1 (taps, outputs), weights_conv2 (inputs, taps, outputs) and weights_conv3 (inputs, taps)."""
    tensors: dict[str, torch.Tensor] = {}
    for layer, (inputs, outputs, side) in enumerate(KERNELS, start=1):
        weights, biases = arrays.get(f"weights_conv{layer}"), arrays.get(f"biases_conv{layer}")
        if weights is None or biases is None or weights.numel() != inputs * side**2 * outputs:
            continue  # the comparison with the layout says what is missing
        kernels = weights.reshape(inputs, side, side, outputs).permute(3, 0, 2, 1)  # taps run down the columns
        tensors |= {f"conv{layer}.weight": kernels, f"conv{layer}.bias": biases.flatten()}
    return tensors

"""AIDN as a rescaler."""

from __future__ import annotations

import math

import torch

from rescale_bench.api.records import Rescaler, State, States
from rescale_bench.api.scales import NativeScales, exact, lr_size
from rescale_bench.errors import MethodError, NotNativeError, WeightsError
from rescale_bench.networks.loading import load_strict, parameter_count
from rescale_bench.networks.residual import channels_last

from .layout import AidnLayout
from .network import Aidn


class AidnRescaler:
    """Shrink and enlarge by any scale that the network was made for."""

    def __init__(self, network: Aidn, size_rule: str, scales: NativeScales) -> None:
        """Take a loaded network, "exact" or "published" for the LR's size, and the scales to serve."""
        self.network, self.size_rule, self.scales = network, size_rule, scales
        self.parameter_count = parameter_count(network)

    @torch.inference_mode()
    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR, ceil(H/scale) × ceil(W/scale) by the rule.

        Raises NotNativeError for scales outside (1, 4], MethodError where an LR side would be 1.
        """
        self._check_scale(scale)
        size = self._lr_size((hr.shape[-2], hr.shape[-1]), scale)
        _check_size(size)
        return self.network.down(hr, scale, size)

    @torch.inference_mode()
    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of exactly the given (height, width).

        Raises NotNativeError for scales outside (1, 4], MethodError for an LR that is not the one of that size
        or has a side of 1.
        """
        self._check_scale(scale)
        found, wanted = (lr.shape[-2], lr.shape[-1]), self._lr_size(size, scale)
        if found != wanted:
            raise MethodError(f"aidn: an LR of {_text(found)} at scale {exact(scale)} cannot give {_text(size)}")
        _check_size(found)
        return self.network.up(lr, scale, size)

    @torch.inference_mode()
    def routing_weights(self, scale: float) -> dict[str, torch.Tensor]:
        """Return the shares of the expert kernels at a scale, by place."""
        self._check_scale(scale)
        return self.network.routing_weights(scale)

    def _check_scale(self, scale: float) -> None:
        if scale not in self.scales:
            raise NotNativeError(f"aidn serves scales in {self.scales}, not {exact(scale)}")

    def _lr_size(self, size: tuple[int, int], scale: float) -> tuple[int, int]:
        if self.size_rule == "exact":
            return lr_size(size, scale)
        # The published code's arithmetic: a product with the rounded reciprocal.
        return math.ceil(size[0] * (1.0 / scale)), math.ceil(size[1] * (1.0 / scale))


def _check_size(lr: tuple[int, int]) -> None:
    if min(lr) < 2:
        raise MethodError(f"aidn: the LR would be {_text(lr)}; its sampling grid needs sides of 2 or more")


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def build_aidn(states: States, device: str, size_rule: str, scales: NativeScales) -> Rescaler:
    """Build from the state "any". Raises WeightsError for one that is missing or does not fit."""
    state = states.get("any")
    if state is None:
        raise WeightsError("aidn: the weights of part any are missing")
    return AidnRescaler(load_aidn(state, device, "aidn any"), size_rule, scales)


def load_aidn(state: State, device: str, where: str) -> Aidn:
    """Build the network that a published state describes, in eval mode.

    Raises WeightsError, beginning with where, for a state that is not an AIDN's.
    """
    layout = AidnLayout.infer(state.tensors, where)
    with torch.device("meta"):
        network = Aidn(layout)
    return channels_last(load_strict(network, state.tensors, where)).to(device)

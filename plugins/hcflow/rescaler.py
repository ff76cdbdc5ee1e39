"""What the HCFlow plugin builds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from rescale_bench.api.records import Rescaler, State, States, Value
from rescale_bench.errors import WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler
from rescale_bench.networks.latent import latent_rule, normal
from rescale_bench.networks.loading import fresh_tensors, parameter_count

from .network import SCALE, HcFlow, Layout, infer_layout, load_network

PART = f"x{SCALE}"


class HcFlowRescaler(FixedScaleRescaler):
    """Downscales with the flow, upscales with its inverse on drawn noise."""

    def __init__(self, network: HcFlow, device: str, heat: float) -> None:
        """Take a loaded network and the factor on the noise; 0 draws nothing."""
        super().__init__(SCALE, parameter_count=parameter_count(network))
        self.network, self.device, self.heat = network.to(device), torch.device(device), heat

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Return the LR of the flow."""
        return self.network.downscale(hr)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Invert the flow; the noise of the level at LR size is drawn first, as the authors do."""
        outer, inner = self.network.latent_shapes(lr)
        second = normal(inner, self.device, self.heat)
        return self.network.inverse(lr, normal(outer, self.device, self.heat), second)


def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    """Build the rescaler. Raises WeightsError for a state that is missing or does not fit."""
    if PART not in states:
        raise WeightsError(f"hcflow: the weights of part {PART} are missing")
    network = load_network(states[PART].tensors, f"hcflow {PART}")
    return HcFlowRescaler(network, device, _heat(states[PART], options))


def _heat(state: State, options: Mapping[str, Value]) -> float:
    return float(options.get("heat", 1.0)) if latent_rule(state, options, "gaussian") == "gaussian" else 0.0


def build_margin(states: States, options: Mapping[str, Value]) -> int | None:
    """Return the margin in LR pixels, None where noise is drawn for the whole image."""
    if PART not in states or _heat(states[PART], options):
        return None
    return infer_layout(states[PART].tensors).margin


def initial(part: str, seed: int) -> State:
    """Initialise the network in the published layout; the same for the same seed."""
    if part != PART:
        raise WeightsError(f"hcflow: there is no part '{part}'; known: {PART}")
    return State(fresh_tensors(partial(HcFlow, Layout()), seed), {"seed": str(seed)})

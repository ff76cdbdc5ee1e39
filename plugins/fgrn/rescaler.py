"""What the FGRN plugin builds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch

from rescale_bench.api.records import Rescaler, State, States, Value
from rescale_bench.errors import WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.loading import fresh_tensors, parameter_count

from .network import LAYOUTS, FlowGuidedNetwork, load_network

BOUNDED = "bounded_beta"
"""Metadata key of a state: "false" where β was trained without its bound."""


class FgrnRescaler(FixedScaleRescaler):
    """Downscales to the quantised representation, inverts the flow and upscales."""

    def __init__(self, network: FlowGuidedNetwork, device: str) -> None:
        """Take a loaded network."""
        super().__init__(network.layout.scale, parameter_count=parameter_count(network))
        self.network = network.to(device)

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Shrink with the residual downscaler and the flow."""
        return self.network.downscale(hr)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Run the inverse flow and the upscaler."""
        return self.network.upscale(lr)


def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    """Build the rescaler of the parts given. Raises WeightsError where a state does not fit."""
    del options
    found = {part: states[part] for part in LAYOUTS if part in states}
    if not found:
        raise WeightsError(f"fgrn: no weights given; it needs one of the parts {', '.join(LAYOUTS)}")
    return serve({LAYOUTS[part].scale: _rescaler(part, state, device) for part, state in found.items()})


def _rescaler(part: str, state: State, device: str) -> FgrnRescaler:
    bounded = state.metadata.get(BOUNDED, "true")
    if bounded not in ("true", "false"):
        raise WeightsError(f"fgrn {part}: the metadata say {BOUNDED}={bounded}; only true and false have a meaning")
    return FgrnRescaler(load_network(state.tensors, part, bounded == "true", f"fgrn {part}"), device)


def initial(part: str, seed: int) -> State:
    """Initialise a part; the same for the same seed."""
    if part not in LAYOUTS:
        raise WeightsError(f"fgrn: there is no part '{part}'; known: {', '.join(LAYOUTS)}")
    tensors = fresh_tensors(partial(FlowGuidedNetwork, LAYOUTS[part]), seed)
    return State(tensors, {"seed": str(seed), BOUNDED: "true"})

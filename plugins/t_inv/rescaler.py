"""What the plugin builds."""

from __future__ import annotations

from functools import partial

import torch

from rescale_bench.api.records import Rescaler, State, States
from rescale_bench.errors import WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.loading import fresh_tensors, parameter_count

from .network import Layout, TriBranchNetwork, infer_layout, load_network

LAYOUTS = {
    "t-irn": {"x2": Layout(3), "x4": Layout(3, 4)},
    "t-sain": {"x2": Layout(3, after=1), "x4": Layout(3, 3, after=2)},
}
"""Published layouts by method and part."""


class TriBranchRescaler(FixedScaleRescaler):
    """Downscales with the network, upscales with its inverse on a latent of zeros, as the authors train it."""

    def __init__(self, network: TriBranchNetwork, device: str) -> None:
        """Take a loaded network."""
        super().__init__(network.layout.scale, parameter_count=parameter_count(network))
        self.network = network.to(device)

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Return the LR before compression."""
        return self.network.downscale(hr)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Run the inverse with z = 0."""
        latent = lr.new_zeros((len(lr), self.network.layout.details, *lr.shape[-2:]))
        return self.network.inverse(lr, latent)[0]


def build(name: str, states: States, device: str) -> Rescaler:
    """Build the rescaler of the parts given. Raises WeightsError where a state does not fit."""
    layouts = LAYOUTS[name]
    networks = {
        layouts[part].scale: load_network(state.tensors, layouts[part], f"{name} {part}")
        for part, state in states.items()
        if part in layouts
    }
    if not networks:
        raise WeightsError(f"{name}: no weights given; it needs one of the parts {', '.join(layouts)}")
    return serve({scale: TriBranchRescaler(network, device) for scale, network in networks.items()})


def build_margin(name: str, states: States) -> int | None:
    """Return the margin in LR pixels over all given networks."""
    layouts = LAYOUTS[name]
    found = [infer_layout(state.tensors, layouts[part]) for part, state in states.items() if part in layouts]
    return max((layout.margin for layout in found), default=None)


def initial(name: str, part: str, seed: int) -> State:
    """Initialise a part as IRN is, in the published layout; the same for the same seed."""
    if part not in LAYOUTS[name]:
        raise WeightsError(f"{name}: there is no part '{part}'; known: {', '.join(LAYOUTS[name])}")
    return State(fresh_tensors(partial(TriBranchNetwork, LAYOUTS[name][part]), seed), {"seed": str(seed)})

"""What the SAIN plugin builds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial

import torch

from rescale_bench.api.records import Rescaler, State, States, Value
from rescale_bench.errors import WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.latent import latent_rule
from rescale_bench.networks.loading import fresh_tensors, parameter_count

from .network import LAYOUTS, Sain, infer_layout, load_network

MIXTURE, MEAN, ZERO = "mixture", "mean", "zero"


class SainRescaler(FixedScaleRescaler):
    """Downscales with the E blocks, upscales with all blocks inverted."""

    def __init__(self, network: Sain, device: str, latent: str) -> None:
        """Take a loaded network and the kind of latent: drawn from the mixture, its mean, or zero."""
        super().__init__(network.layout.scale, parameter_count=parameter_count(network))
        self.draw = copy.deepcopy(network.gmm).draw  # the mixture stays on the CPU, where draws are made
        self.network, self.latent = network.to(device), latent

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Return the LR before compression."""
        return self.network.downscale(hr)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Invert all blocks on a decoded LR and the latent."""
        return self.network.inverse(lr, self._z(lr))[0]

    def _z(self, lr: torch.Tensor) -> torch.Tensor:
        shape = torch.Size((len(lr), self.network.layout.channels - lr.shape[1], *lr.shape[-2:]))
        if self.latent == MIXTURE:
            return self.draw(shape).to(lr.device)
        value = self.network.gmm.mean() if self.latent == MEAN else lr.new_zeros(())
        return value.expand(shape)


def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    """Build the rescaler of the parts given. Raises WeightsError where a state does not fit."""
    found = _known(states)
    if not found:
        raise WeightsError(f"sain: no weights given; it needs one of the parts {', '.join(LAYOUTS)}")
    return serve({LAYOUTS[part].scale: _rescaler(part, state, device, options) for part, state in found.items()})


def _known(states: States) -> dict[str, State]:
    return {part: states[part] for part in LAYOUTS if part in states}


def _rescaler(part: str, state: State, device: str, options: Mapping[str, Value]) -> SainRescaler:
    rule = latent_rule(state, options, MIXTURE)
    if rule not in (MIXTURE, MEAN, ZERO):
        raise WeightsError(f"sain {part}: the metadata say z={rule}; only {MIXTURE}, {MEAN} and {ZERO} have a meaning")
    return SainRescaler(load_network(state.tensors, LAYOUTS[part], f"sain {part}"), device, rule)


def build_margin(states: States, options: Mapping[str, Value]) -> int | None:
    """Return the margin in LR pixels over all given networks, None where z is drawn for the whole image."""
    found = _known(states)
    if not found or any(latent_rule(state, options, MIXTURE) == MIXTURE for state in found.values()):
        return None
    return max(infer_layout(state.tensors, LAYOUTS[part]).margin for part, state in found.items())


def initial(part: str, seed: int) -> State:
    """Initialise a part as IRN is, in the published layout; the same for the same seed."""
    if part not in LAYOUTS:
        raise WeightsError(f"sain: there is no part '{part}'; known: {', '.join(LAYOUTS)}")
    return State(fresh_tensors(partial(Sain, LAYOUTS[part]), seed), {"seed": str(seed)})

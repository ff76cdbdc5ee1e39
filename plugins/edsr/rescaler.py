"""EDSR as the upscaling half of a rescaler."""

from __future__ import annotations

import torch

from rescale_bench.api.records import Rescaler, States
from rescale_bench.errors import MethodError, WeightsError
from rescale_bench.networks.edsr import Edsr, load_edsr, residual_scale
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.loading import parameter_count


class EdsrRescaler(FixedScaleRescaler):
    """Enlarge with one network; there is no downscaler."""

    def __init__(self, network: Edsr) -> None:
        """Take a loaded network."""
        super().__init__(network.layout.scale, parameter_count=parameter_count(network))
        self.network = network

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Refuse: the network only enlarges."""
        raise MethodError("edsr only enlarges; pair it with a downscaler: bicubic+edsr")

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge with EDSR."""
        return self.network.restore(lr)


def build_edsr(name: str, states: States, device: str, given: float | None, default: float) -> Rescaler:
    """Build from the states of one or several scales.

    The residual scale is the given one, else that of the state's metadata ("residual_scale"), else the default.
    Raises WeightsError for a state that is not an EDSR of its part's scale.
    """
    rescalers: dict[int, FixedScaleRescaler] = {}
    for part, state in states.items():
        where = f"{name} {part}"
        residual = given if given is not None else residual_scale(state.metadata, default, where)
        network = load_edsr(state.tensors, residual, device, where)
        if part != f"x{network.layout.scale}":
            raise WeightsError(f"{where}: these weights are for scale {network.layout.scale}")
        rescalers[network.layout.scale] = EdsrRescaler(network)
    return serve(rescalers)

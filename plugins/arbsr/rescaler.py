"""ArbRCAN as the upscaling half of a rescaler."""

from __future__ import annotations

import torch

from rescale_bench.api.records import Rescaler, States
from rescale_bench.api.scales import NativeScales, exact, lr_size
from rescale_bench.errors import MethodError, NotNativeError, WeightsError
from rescale_bench.networks.loading import load_strict, parameter_count
from rescale_bench.networks.residual import channels_last

from .layout import ArbRcanLayout
from .network import SPAN, ArbRcan


class ArbRcanRescaler:
    """Enlarge by any scale that the network was made for; there is no downscaler."""

    def __init__(self, network: ArbRcan, scales: NativeScales) -> None:
        """Take a loaded network and the scales to serve."""
        self.network, self.scales = network, scales
        self.parameter_count = parameter_count(network)

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Raise MethodError: the network only enlarges."""
        raise MethodError("arb-rcan only enlarges; pair it with a downscaler: bicubic+arb-rcan")

    @torch.inference_mode()
    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of exactly the given (height, width).

        Raises NotNativeError for scales outside (1, 4], MethodError for an LR that is not the one of that size or has
        a side of 1.
        """
        if scale not in self.scales:
            raise NotNativeError(f"arb-rcan serves scales in {self.scales}, not {exact(scale)}")
        found, wanted = (lr.shape[-2], lr.shape[-1]), lr_size(size, scale)
        if found != wanted:
            given, asked, needed = (f"{height}×{width}" for height, width in (found, size, wanted))
            raise MethodError(
                f"arb-rcan: an LR of {given} at scale {exact(scale)} cannot give {asked}; it must be {needed}"
            )
        image: torch.Tensor = self.network(lr * SPAN, (scale, scale), size)
        return image.div_(SPAN)


def build_arb_rcan(states: States, device: str, scales: NativeScales) -> Rescaler:
    """Build from the state "any". Raises WeightsError for one that is missing or is no ArbRCAN's."""
    state = states.get("any")
    if state is None:
        raise WeightsError("arb-rcan: the weights of part any are missing")
    layout = ArbRcanLayout.infer(state.tensors, "arb-rcan any")
    with torch.device("meta"):
        network = ArbRcan(layout)
    return ArbRcanRescaler(channels_last(load_strict(network, state.tensors, "arb-rcan any")).to(device), scales)

"""What the IRN plugin builds: rescalers around invertible networks, and fresh states."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch

from rescale_bench.api.records import Rescaler, State, States, Value
from rescale_bench.errors import WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler, serve
from rescale_bench.networks.latent import latent_rule, normal
from rescale_bench.networks.loading import fresh_tensors, parameter_count

from .network import BLOCK, COLOUR, HAAR, LEARNED, InvertibleNetwork, Layout, infer_layout, load_network
from .restore import RestoreNetwork, load_restore, restore_margin

EIGHT = (BLOCK,) * 8
IRN = {"x2": Layout((HAAR, *EIGHT)), "x4": Layout((HAAR, *EIGHT) * 2), "x8": Layout((HAAR, *EIGHT) * 3)}
LAYOUTS: dict[str, dict[str, Layout]] = {
    "irn": IRN,
    "irn-plus": {"x4": IRN["x4"]},
    "irn-ld": {"x3": Layout((LEARNED, *(BLOCK,) * 12))},
    "irn-e": {"x4": Layout((HAAR, HAAR, *EIGHT, *EIGHT))},
    "irn-color": {"x1": Layout((COLOUR, *EIGHT), kept=1)},
    "irn-jpeg": {"x2": IRN["x2"]},
    # Four blocks after each Haar step: the printed parameters are of both networks together.
    "irn-du": dict.fromkeys(("down-x4", "up-x4"), Layout((HAAR, *EIGHT[:4]) * 2)),
}
"""Published layouts by method and part."""

RESTORE = "crm"


class IrnRescaler(FixedScaleRescaler):
    """Downscales with the network, upscales with its inverse on a latent that is drawn anew or zero."""

    def __init__(self, network: InvertibleNetwork, device: str, gaussian: bool, z_scale: float = 1.0) -> None:
        """Take a loaded network; gaussian draws z from PyTorch's global CPU generator, times z_scale."""
        super().__init__(network.layout.scale, parameter_count=parameter_count(network))
        self.network, self.device = network.to(device), torch.device(device)
        self.z_scale = z_scale if gaussian else 0.0

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Keep the low-frequency output of the network."""
        return self.network.downscale(hr)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Run the inverse on the LR and a latent."""
        return self.network.inverse(lr, self._latent(lr))

    def with_latent(self, factor: float) -> IrnRescaler:
        """Return the same rescaler with z drawn from N(0, factor²), 0 for z = 0."""
        changed = copy.copy(self)
        changed.z_scale = factor
        return changed

    def _latent(self, lr: torch.Tensor) -> torch.Tensor:
        return normal((lr.shape[0], self.network.latent_channels, *lr.shape[-2:]), self.device, self.z_scale)


class SeparateRescaler(IrnRescaler):
    """Downscales with a network of its own, and upscales with the inverse of another (IJCV 2022, Table 8)."""

    def __init__(self, down: InvertibleNetwork, up: InvertibleNetwork, device: str, gaussian: bool, z_scale: float):
        """Take both loaded networks."""
        super().__init__(up, device, gaussian, z_scale)
        self.down = down.to(device)
        self.parameter_count += parameter_count(down)

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Keep the low-frequency output of the first network."""
        return self.down.downscale(hr)


class ColourRescaler(IrnRescaler):
    """Decolorizes and recolorizes at the same size; the network reads and gives BGR, and z is zero."""

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Map RGB to one grey plane."""
        return super().downscale_padded(hr.flip(1))

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Map the grey plane back to RGB."""
        return super().upscale_padded(lr).flip(1)


class RestoringRescaler(IrnRescaler):
    """Restores the decoded LR before the inverse."""

    def __init__(
        self, network: InvertibleNetwork, restore: RestoreNetwork, device: str, gaussian: bool, z_scale: float
    ) -> None:
        """Take both loaded networks."""
        super().__init__(network, device, gaussian, z_scale)
        self.restore = restore.to(device)
        self.parameter_count += parameter_count(restore)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore the decoded LR, then run the inverse."""
        return super().upscale_padded(self.restore(lr))


def builder(method: str) -> Callable[[States, str, Mapping[str, Value]], Rescaler]:
    """Make the build function of one method of the family."""

    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        found = {part: states[part] for part in LAYOUTS[method] if part in states}
        if not found:
            raise WeightsError(f"{method}: no weights given; it needs one of the parts {', '.join(LAYOUTS[method])}")
        if method == "irn-du":
            return _separate(found, device, options)
        rescalers = [_rescaler(method, part, states, device, options) for part in found]
        return serve({rescaler.scale: rescaler for rescaler in rescalers})

    return build


def _rescaler(method: str, part: str, states: States, device: str, options: Mapping[str, Value]) -> FixedScaleRescaler:
    network = load_network(states[part].tensors, LAYOUTS[method][part], f"{method} {part}")
    if method == "irn-color":
        return ColourRescaler(network, device, gaussian=False)
    gaussian, z_scale = _gaussian(states[part], options), float(options.get("z_scale", 1.0))
    if method != "irn-jpeg" or not options.get("crm", True):
        return IrnRescaler(network, device, gaussian, z_scale)
    if RESTORE not in states:
        raise WeightsError(f"{method}: no weights for the part {RESTORE}; import them or choose {method}:crm=false")
    restore = load_restore(states[RESTORE].tensors, f"{method} {RESTORE}")
    return RestoringRescaler(network, restore, device, gaussian, z_scale)


def _separate(states: States, device: str, options: Mapping[str, Value]) -> FixedScaleRescaler:
    if missing := [part for part in LAYOUTS["irn-du"] if part not in states]:
        raise WeightsError(f"irn-du: the weights of part {missing[0]} are missing; both belong together")
    down, up = (
        load_network(states[part].tensors, layout, f"irn-du {part}") for part, layout in LAYOUTS["irn-du"].items()
    )
    return SeparateRescaler(
        down, up, device, _gaussian(states["up-x4"], options), float(options.get("z_scale", 1.0))
    )  # fmt: skip


def _gaussian(state: State, options: Mapping[str, Value]) -> bool:
    return latent_rule(state, options, "gaussian") == "gaussian"


def build_margin(method: str, states: States, options: Mapping[str, Value]) -> int | None:
    """Return the margin in LR pixels over all given networks, None where z is drawn for the whole image."""
    found = {part: state for part, state in states.items() if part in LAYOUTS[method]}
    # Of irn-du's networks the one that shrinks meets no latent.
    meets = [state for part, state in found.items() if not part.startswith("down-")]
    drawn = float(options.get("z_scale", 1.0)) and any(_gaussian(state, options) for state in meets)
    if drawn or not found:
        return None
    restored = method == "irn-jpeg" and options.get("crm", True) and RESTORE in states
    before = restore_margin(states[RESTORE].tensors) if restored else 0
    layouts = (infer_layout(state.tensors, LAYOUTS[method][part]) for part, state in found.items())
    return before + max(layout.margin for layout in layouts)


def initial(method: str, part: str, seed: int) -> State:
    """Initialise a part as the paper does, in the published layout; the same for the same seed."""
    if part == RESTORE and method == "irn-jpeg":
        return State(fresh_tensors(RestoreNetwork, seed), {"seed": str(seed)})
    if part not in LAYOUTS[method]:
        raise WeightsError(f"{method}: there is no part '{part}'; known: {', '.join(LAYOUTS[method])}")
    tensors = fresh_tensors(partial(InvertibleNetwork, LAYOUTS[method][part]), seed)
    return State(tensors, {"seed": str(seed)})

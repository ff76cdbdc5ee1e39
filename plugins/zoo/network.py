"""Networks that spandrel recognises by their tensors, as the upscaling half of a rescaler."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch

from rescale_bench.api.records import Rescaler, State, States
from rescale_bench.errors import NotNativeError, UnavailableError, WeightsError
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.networks.loading import seeded_tensors
from rescale_bench.networks.super_resolution import SuperResolution, in_quarters, serve_upscalers
from rescale_bench.weights.checkpoints import read_state


class Recognised(SuperResolution):
    """A network of spandrel's: (N, 3, h, w) to (N, 3, s·h, s·w), both in [0, 1]."""

    def __init__(self, descriptor: Any) -> None:
        """Take spandrel's ImageModelDescriptor."""
        super().__init__(descriptor.scale)
        self.model = descriptor.model
        self.descriptor = descriptor

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image; sizes that the network cannot take are padded and cut."""
        # A copy: RCAN's descriptor multiplies what it is given by 255 in place.
        result: torch.Tensor = self.descriptor(lr.clone())
        return result


def spandrel() -> Any:
    """Import spandrel. Raises UnavailableError where it is not installed."""
    if importlib.util.find_spec("spandrel") is None:
        raise UnavailableError("this method needs spandrel; pip install 'rescale-bench[zoo]'")
    import_torchvision()
    return importlib.import_module("spandrel")


def recognise(tensors: Mapping[str, torch.Tensor], where: str) -> Any:
    """Find the network that tensors belong to and load them; returns spandrel's descriptor, on the CPU.

    Raises WeightsError, beginning with where, for tensors of no network that spandrel knows, for networks that are not
    super-resolution of RGB, and for an RCAN of another range than spandrel assumes.
    """
    package = spandrel()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.meshgrid inside of single networks
            loader = package.ModelLoader("cpu")
            descriptor = loader.load_from_state_dict(package.canonicalize_state_dict(dict(tensors)))
    except Exception as error:  # UnsupportedModelError, and what a network taken for another one raises
        reason = "" if isinstance(error, package.UnsupportedModelError) else f" ({_first_line(error)})"
        raise WeightsError(
            f"{where}: no super-resolution network that spandrel {package.__version__} knows{reason}"
        ) from None
    problem = _problem(descriptor, package)
    if problem:
        raise WeightsError(f"{where}: {problem}")
    return descriptor


def _problem(descriptor: Any, package: Any) -> str:
    """Say why a network is no upscaling half of ours; empty where it is one."""
    name = descriptor.architecture.id
    if not isinstance(descriptor, package.ImageModelDescriptor):
        return f"{name} is not a network from one image to one image"
    if descriptor.purpose != "SR":
        return f"{name} is a network for {descriptor.purpose}; only super-resolution is measured"
    if descriptor.scale < 2:
        return f"{name} here keeps the size (×{descriptor.scale}); a network that enlarges is needed"
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        return f"{name} here maps {descriptor.input_channels} to {descriptor.output_channels} channels, not RGB to RGB"
    shift = getattr(descriptor.model, "sub_mean", None)
    if name == "RCAN" and shift is not None and float(shift.bias.detach().abs().max()) <= 1:
        return "an RCAN that works on [0, 1], which spandrel would run on 0..255"
    return ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def build(name: str, states: States, device: str, chop: bool) -> Rescaler:
    """Build the upscaling half. Raises WeightsError."""

    def load(part: str, state: State) -> SuperResolution:
        descriptor = recognise(state.tensors, f"{name} {part}")
        descriptor.model.requires_grad_(False)
        return Recognised(descriptor.to(device).eval())

    return serve_upscalers(name, states, load, in_quarters if chop else None)


def check_scale(path: Path, scale: Decimal) -> None:
    """Raise NotNativeError where a file's network is not of a scale, WeightsError where it cannot be used."""
    descriptor = recognise(read_state(path), str(path))
    if descriptor.scale != scale:
        raise NotNativeError(f"{path} serves scale {descriptor.scale}, not {scale}")


def describe(path: Path) -> dict[str, str]:
    """Say what a file holds, for `info`. Raises WeightsError."""
    descriptor = recognise(read_state(path), str(path))
    return {
        "architecture": f"{descriptor.architecture.name}, found by spandrel from the tensors",
        "scale": str(descriptor.scale),
        "parameters": f"{sum(parameter.numel() for parameter in descriptor.model.parameters()):,}",
        "training": "the file does not say how; ask its source for data and degradation",
    }


def initial(architecture: str, scale: int, seed: int) -> State:
    """Draw a fresh state of RCAN or ESRGAN in spandrel's layout."""
    spandrel()
    module = importlib.import_module(f"spandrel.architectures.{architecture}")
    return State(seeded_tensors(lambda: getattr(module, architecture)(scale=scale), seed))


def translate(architecture: str, tensors: Mapping[str, torch.Tensor]) -> State:
    """Bring a file of any layout that spandrel reads as an architecture to its own; others stay as they are."""
    try:
        descriptor = recognise(tensors, architecture)
    except WeightsError:
        return State(tensors)
    same = descriptor.architecture.id == architecture
    return State(descriptor.model.state_dict() if same else tensors)

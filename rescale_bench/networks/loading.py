"""Strict loading of weights, with differences a person can read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import torch

from rescale_bench.errors import WeightsError

SHOWN = 3
"""How many keys of each kind an error names."""

Module = TypeVar("Module", bound=torch.nn.Module)


def load_strict(module: Module, tensors: Mapping[str, torch.Tensor], where: str) -> Module:
    """Load a state into a module (which may live on the meta device) and return it in eval mode.

    Tensors are copied and take the module's dtypes. Raises WeightsError, beginning with where, that lists
    missing, unexpected and mis-shaped keys (a few of each), or names a tensor that is not finite.
    """
    wanted = module.state_dict()
    found = differences({key: tuple(tensor.shape) for key, tensor in wanted.items()}, tensors)
    if found:
        raise WeightsError(f"{where}: the weights do not fit: {found}")
    broken = [key for key, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{where}: values that are not finite in {_few(broken)}")
    # Copies: a module that is trained further must not change the state that it came from.
    copies = {key: tensors[key].detach().to("cpu", wanted[key].dtype, copy=True).contiguous() for key in wanted}
    module.load_state_dict(copies, strict=True, assign=True)
    return module.eval()


class _Initialised(Protocol):
    def initialise(self, generator: torch.Generator) -> None: ...

    def to_empty(self, *, device: str) -> object: ...

    def state_dict(self) -> dict[str, torch.Tensor]: ...


def fresh_tensors(build: Callable[[], _Initialised], seed: int) -> dict[str, torch.Tensor]:
    """Build a module, let it `initialise` every tensor from a seed of its own, and return its tensors.

    PyTorch's global generator is left alone.
    """
    with torch.device("meta"):
        module = build()
    module.to_empty(device="cpu")
    module.initialise(torch.Generator().manual_seed(seed))
    return {key: tensor.detach() for key, tensor in module.state_dict().items()}


def seeded_tensors(build: Callable[[], torch.nn.Module], seed: int) -> dict[str, torch.Tensor]:
    """Build a module with torch's default initialisation from a seed and return its tensors.

    PyTorch's global generator is left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(build().state_dict())


def differences(wanted: Mapping[str, tuple[int, ...]], tensors: Mapping[str, torch.Tensor]) -> str:
    """Describe how tensors differ from the wanted keys and shapes; empty where they fit."""
    missing = [key for key in wanted if key not in tensors]
    unexpected = [key for key in tensors if key not in wanted]
    shapes = [
        f"{key} {tuple(tensors[key].shape)}, wanted {shape}"
        for key, shape in wanted.items()
        if key in tensors and tuple(tensors[key].shape) != shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return "; ".join(f"{len(keys)} {kind}: {_few(keys)}" for kind, keys in kinds.items() if keys)


def _few(keys: Iterable[str]) -> str:
    listed = list(keys)
    return ", ".join(listed[:SHOWN]) + (f", … ({len(listed) - SHOWN} more)" if len(listed) > SHOWN else "")


def count_layers(tensors: Mapping[str, torch.Tensor], pattern: str) -> int:
    """Count numbered layers of a state: one more than the largest number that a pattern's group catches in a key."""
    return 1 + max((int(found[1]) for key in tensors if (found := re.match(pattern, key))), default=-1)


def side(tensors: Mapping[str, torch.Tensor], key: str, axis: int, default: int) -> int:
    """Return the length of one axis of a tensor; the default where the state has no such tensor or axis."""
    tensor = tensors.get(key)
    return tensor.shape[axis] if tensor is not None and axis < tensor.ndim else default


def parameter_count(module: torch.nn.Module) -> int:
    """Count the numbers that a module holds as parameters, as papers do (buffers do not count)."""
    return sum(parameter.numel() for parameter in module.parameters())

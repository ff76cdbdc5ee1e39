"""Parity cases on the path of a published file: written as published, imported, found, read and built as a run does."""

import importlib.util
from decimal import Decimal

import numpy as np
import torch

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.cli import main
from rescale_bench.weights.choice import choose_weights, load_states


def load_case(root, name):
    """Read a case: its description, the filled state as tensors, and the arrays as batches of one (uint8 as [0, 1])."""
    spec = importlib.util.spec_from_file_location("fill", root / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    case, state, arrays = fill.load_case(root / name)
    tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
    return case, tensors, {key: _batch(value) for key, value in arrays.items()}


def _batch(array):
    batch = torch.from_numpy(array)[None]
    return batch.float() / 255 if array.dtype == np.uint8 else batch


def build_published(spec, scale, part, tensors, file, prefix="module."):
    """Write a state as the published file, import it, and build the method from what a run finds."""
    torch.save({prefix + key: value for key, value in tensors.items()}, file)
    name = spec.partition(":")[0].rpartition("+")[2]  # of a pair, the half that enlarges
    assert main(["weights", "import", name, part, str(file)]) == 0
    registry = load_registry()
    chosen = registry.choose_method(parse_spec(spec, "test"))
    found = choose_weights(chosen, Decimal(scale), registry)
    assert found.tag == "published"
    states = load_states(found.files, registry, chosen.record.traits.derived)
    return chosen.record.build(states, "cpu", chosen.options)


def difference(found, expected):
    """Return the largest absolute difference of two tensors of one shape."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max())

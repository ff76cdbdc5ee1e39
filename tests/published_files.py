"""Bring a recorded case in as its published file would come: write it, import it by the command line, build, run."""

import importlib.util
from decimal import Decimal

import numpy as np
import torch

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.cli.main import main
from rescale_bench.weights.choice import choose_weights, load_states


def load_case(parity_root, name):
    """Read a case: its description, the filled state as tensors, its arrays."""
    spec = importlib.util.spec_from_file_location("parity_fill", parity_root / "fill.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    case, state, arrays = module.load_case(parity_root / name)
    return case, {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}, arrays


def as_parallel(tensors):
    """Name the tensors as torch.nn.DataParallel does, which some authors' files keep."""
    return {f"module.{key}": tensor for key, tensor in tensors.items()}


def write_and_import(folder, method, part, content, name="file.pth", tag="published"):
    """Write a checkpoint and import it with `rescale-bench weights import`."""
    path = folder / name
    torch.save(content, path)
    assert main(["weights", "import", method, part, str(path), "--tag", tag]) == 0


def build(spec, scale, tag="published"):
    """Build a method for a scale with the weights that a run would find; spec: `bicubic+san:chop=false`."""
    registry = load_registry()
    chosen = registry.choose_method(parse_spec(spec, "-m"))
    weights = choose_weights(chosen, Decimal(scale), registry)
    assert weights.tag == tag
    return chosen.record.build(
        load_states(weights.files, registry, chosen.record.traits.derived), "cpu", chosen.options
    )


def upscale(rescaler, lr, scale):
    """Enlarge uint8 (C, h, w) to (C, s·h, s·w) in [0, 1]."""
    image = torch.from_numpy(lr)[None].float() / 255
    return rescaler.upscale(image, float(scale), (lr.shape[1] * scale, lr.shape[2] * scale))[0]


def batches(arrays):
    """Turn arrays into batches of one; uint8 becomes [0, 1]."""
    return {name: _batch(array) for name, array in arrays.items()}


def _batch(array):
    batch = torch.from_numpy(array)[None]
    return batch.float() / 255 if array.dtype == np.uint8 else batch


def difference(found, expected):
    """Return the largest absolute difference of two tensors of one shape."""
    assert found.shape == expected.shape
    return float((found - expected).abs().max())

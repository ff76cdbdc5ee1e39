"""SAN against arrays recorded from the published implementation."""

from decimal import Decimal

import pytest
import torch
from published_files import build, load_case, upscale, write_and_import
from rescale_bench_plugins import san
from rescale_bench_plugins.san import network
from rescale_bench_plugins.san.network import NonLocal, covariance, square_root
from torch import nn

(METHOD,) = san.rescale_bench_methods()
CASES = [("san_x2_odd", 2), *(pytest.param(f"san_x{s}", s, marks=pytest.mark.slow) for s in (2, 3, 4, 8))]


@pytest.mark.parametrize(("name", "scale"), CASES)
def test_equals_the_published_implementation(parity_root, tmp_path, name, scale):
    case, tensors, arrays = load_case(parity_root, name)
    write_and_import(tmp_path, "san", f"x{scale}", tensors, f"SAN_BIX{scale}.pt")
    rescaler = build("bicubic+san:chop=false", scale)
    found = upscale(rescaler, arrays["lr"], scale) * 255
    assert (found - torch.from_numpy(arrays["out"])).abs().max() <= 1e-2
    assert rescaler.parameter_count == METHOD.parameters[f"x{scale}"] == case["parameters"]


def test_the_covariance_is_numpys():
    x = torch.rand(2, 64, 9, 11)
    expected = torch.stack([image.flatten(1).double().cov(correction=0) for image in x])
    assert torch.allclose(covariance(x), expected, atol=1e-12)
    wide = torch.rand(1, 2, 3, 1100)
    assert torch.allclose(covariance(wide)[0], wide[0, ..., 50:1050].flatten(1).double().cov(correction=0), atol=1e-12)


def test_the_iteration_approaches_the_square_root(monkeypatch):
    features = torch.randn(1, 64, 4000, dtype=torch.float64)
    matrix = features @ features.transpose(1, 2) / 4000
    values, vectors = torch.linalg.eigh(matrix[0])
    expected = vectors @ values.sqrt().diag() @ vectors.T
    # Five steps leave eigenvalues too small, the less so the larger their part of the trace.
    assert (square_root(matrix)[0] - expected).abs().max() < 0.7
    monkeypatch.setattr(network, "ITERATIONS", 15)
    assert (square_root(matrix)[0] - expected).abs().max() < 1e-6


def test_attention_is_the_softmax_written_out():
    block, x = NonLocal(), torch.rand(1, 64, 7, 6)
    with torch.no_grad():
        theta, phi, g = (part(x)[0].flatten(1) for part in (block.theta, block.phi, block.g))
        weights = torch.softmax(theta.T @ phi, dim=1)
        assert weights.shape == (42, 9)  # keys and values are pooled by 2
        expected = nn.functional.conv2d((weights @ g.T).T.view(1, 8, 7, 6), block.W.weight, block.W.bias) + x
        assert torch.allclose(block(x), expected, atol=1e-6)


@pytest.fixture
def small(monkeypatch):
    """Build a SAN of one group of one block: chop → rescaler."""
    monkeypatch.setattr(network, "GROUPS", 1)
    monkeypatch.setattr(network, "BLOCKS", 1)
    state = METHOD.initial("x2", 0)
    return lambda chop: METHOD.build({"x2": state}, "cpu", {"chop": chop})


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (5, 3)])
def test_small_sizes(small, size):
    found = small(False).upscale(torch.rand(1, 3, *size), 2.0, (2 * size[0], 2 * size[1]))
    assert found.isfinite().all()


def test_in_quarters_attention_sees_less(small):
    lr = torch.rand(1, 3, 40, 50)
    whole, quarters = (small(chop).upscale(lr, 2.0, (80, 100)) for chop in (False, True))
    assert (whole - quarters).abs().max() > 1e-3
    # A quarter is what its window alone gives.
    alone = small(False).upscale(lr[..., :30, :35], 2.0, (60, 70))
    assert torch.equal(quarters[..., :40, :50], alone[..., :40, :50])


def test_the_record():
    assert METHOD.halves == {"up"}
    assert METHOD.parts(Decimal(8)) == ("x8",)
    assert [file.file for file in METHOD.weights] == ["SAN_BIX2.pt", "SAN_BIX3.pt", "SAN_BIX4.pt", "SAN_BIX8.pt"]

"""EDSR against arrays recorded from the published implementation, and its own promises."""

from decimal import Decimal

import numpy as np
import pytest
import torch
from rescale_bench_plugins import edsr

from rescale_bench.api.records import State
from rescale_bench.errors import MethodError, NotNativeError, WeightsError
from rescale_bench.networks.edsr import Edsr, EdsrLayout, initial_edsr, load_edsr

METHODS = {method.name: method for method in edsr.rescale_bench_methods()}
LARGE, BASELINE = METHODS["edsr"], METHODS["edsr-baseline"]


@pytest.fixture
def load_case(parity_root, monkeypatch):
    monkeypatch.syspath_prepend(str(parity_root))
    from fill import load_case

    def load(name):
        case, state, arrays = load_case(parity_root / name)
        return case, {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}, arrays

    return load


def small(scale=2, blocks=3, width=8, seed=0):
    return initial_edsr(EdsrLayout(blocks, width, scale), seed)


def build(tensors, part="x2", metadata=None, method=BASELINE, **options):
    return method.build({part: State(tensors, metadata or {})}, "cpu", options)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "method"), [("r16f64", BASELINE), ("r32f256", LARGE)])
def test_equals_the_published_implementation(load_case, name, method, scale):
    _, tensors, arrays = load_case(f"edsr_{name}_x{scale}")
    rescaler = build(tensors, f"x{scale}", method=method, residual_scale=0.1)
    expected = torch.from_numpy(arrays["out"])[None]
    found = rescaler.upscale(torch.from_numpy(arrays["lr"])[None] / 255, float(scale), tuple(expected.shape[-2:]))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert rescaler.parameter_count == method.parameters[f"x{scale}"]


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_initial_states_have_the_published_layout(load_case, method):
    for part in ("x2", "x3", "x4"):
        _, published, _ = load_case(f"edsr_{'r32f256' if method is LARGE else 'r16f64'}_{part}")
        state = method.initial(part, 1)
        assert {key: value.shape for key, value in state.tensors.items()} == {k: v.shape for k, v in published.items()}
        assert torch.equal(state.tensors["sub_mean.bias"], published["sub_mean.bias"])
        assert torch.equal(state.tensors["add_mean.weight"], published["add_mean.weight"])


def test_initial_states_follow_the_seed():
    first, again, other = small(seed=3), small(seed=3), small(seed=4)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["head.0.weight"], other["head.0.weight"])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(45, 62), (97, 131), (1, 1)])
def test_odd_sizes_come_back_exactly(scale, size):
    rescaler = build(small(scale), f"x{scale}")
    lr = torch.rand(1, 3, *(-(-side // scale) for side in size))
    assert rescaler.upscale(lr, float(scale), size).shape == (1, 3, *size)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_strips_equal_the_whole(scale):
    network = load_edsr(small(scale), 0.5, "cpu", "test")
    # Wide enough that both the body and the tail are cut into many strips.
    lr = torch.rand(2, 3, 150, 700)
    with torch.no_grad():
        strips = network(lr)
    assert torch.allclose(strips, network(lr).detach(), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pixel_sees_no_further_than_the_margin(scale):
    network = load_edsr(small(scale), 1.0, "cpu", "test")
    lr = torch.rand(1, 3, 5, 60, requires_grad=True)
    network(lr)[..., 2 * scale, 30 * scale].sum().backward()
    seen = lr.grad.abs().sum((0, 1, 2)).nonzero()
    assert 30 - int(seen.min()) <= network.layout.halo
    assert 30 - int(seen.min()) >= network.layout.halo - 1
    assert LARGE.margin == EdsrLayout(32, 256, 4).halo


def test_residual_scale_comes_from_option_then_metadata_then_default():
    def used(method, metadata, **options):
        tensors = small()
        return build(tensors, metadata=metadata, method=method, **options).network.body[0].scale

    assert used(LARGE, {}) == 0.1
    assert used(BASELINE, {}) == 1.0
    assert used(BASELINE, {"residual_scale": "0.25"}) == 0.25
    assert used(BASELINE, {"residual_scale": "0.25"}, residual_scale=0.5) == 0.5
    with pytest.raises(WeightsError, match="residual_scale=much"):
        used(LARGE, {"residual_scale": "much"})


def test_checkpoints_made_for_0_to_255_work_on_0_to_1():
    tensors = small()
    # The same function on the larger range: constants and biases grow by 255, kernels stay (ReLU is homogeneous).
    grown = {key: value * 255 if key.endswith("bias") else value for key, value in tensors.items()}
    lr = torch.rand(1, 3, 9, 9)
    first, second = (build(state).upscale(lr, 2.0, (18, 18)) for state in (tensors, grown))
    assert torch.allclose(first, second, atol=1e-5)


def test_gradients_reach_every_trained_tensor():
    network = Edsr(EdsrLayout(2, 8, 2), 0.1)
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    for key, value in network.named_parameters():
        if "_mean" in key:
            assert value.grad is None
        else:
            assert value.grad.isfinite().all()
            assert value.grad.abs().max() > 0, key


def test_refuses_what_it_does_not_serve():
    rescaler = build(small())
    with pytest.raises(NotNativeError, match="scale 2, not 3"):
        rescaler.upscale(torch.rand(1, 3, 8, 8), 3.0, (24, 24))
    with pytest.raises(MethodError, match=r"bicubic\+edsr"):
        rescaler.downscale(torch.rand(1, 3, 8, 8), 2.0)
    assert LARGE.halves == {"up"}
    assert LARGE.parts(Decimal(3)) == ("x3",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("head.0.weight"), "no tensor 'head.0.weight'"),
        (lambda t: t.pop("body.1.body.0.bias"), "missing: body.1.body.0.bias"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected: extra"),
        (lambda t: t.update({"tail.0.0.weight": torch.zeros(40, 8, 3, 3)}), "not an EDSR of scale"),
        (lambda t: t.update({"tail.1.bias": torch.zeros(4)}), r"tail.1.bias \(4,\), wanted \(3,\)"),
    ],
)
def test_wrong_layouts_are_named(change, words):
    tensors = dict(small())
    change(tensors)
    with pytest.raises(WeightsError, match=words):
        build(tensors)


def test_weights_of_another_scale_are_refused():
    with pytest.raises(WeightsError, match="x3: these weights are for scale 2"):
        build(small(2), "x3")

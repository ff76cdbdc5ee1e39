"""FGRN against the paper's parameter counts, equations 5 and 6, and its own promises."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
import torch
from rescale_bench_plugins import fgrn
from rescale_bench_plugins.fgrn.network import LAYOUTS, FlowGuidedNetwork, load_network

from rescale_bench.api.records import State
from rescale_bench.errors import NotNativeError, WeightsError
from rescale_bench.networks.loading import fresh_tensors, parameter_count

METHOD = next(iter(fgrn.rescale_bench_methods()))


def narrow(part="x2", **metadata):
    """Make a random state with few channels and a flow that is not the identity."""
    layout = replace(LAYOUTS[part], channels=8, growth=4, blocks=2)
    tensors = fresh_tensors(lambda: FlowGuidedNetwork(layout), 0)
    generator = torch.Generator().manual_seed(1)
    for key, tensor in tensors.items():
        if "conv5.weight" in key:
            tensors[key] = 0.05 * torch.randn(tensor.shape, generator=generator)
        if key == "down.tail.bias":
            tensors[key] = torch.full_like(tensor, 0.5)
    return State(tensors, metadata)


@pytest.mark.parametrize(("part", "count"), [("x2", 1_330_949), ("x4", 3_350_687)])
def test_parameter_counts_of_the_paper(part, count):
    state = METHOD.initial(part, 0)
    assert METHOD.parameters[part] == count
    assert parameter_count(load_network(state.tensors, part, True, part)) == count
    assert METHOD.build({part: state}, "cpu", {}).parameter_count == count


@pytest.mark.parametrize("part", ["x2", "x4"])
def test_flow_of_full_width_inverts(part):
    tensors = dict(METHOD.initial(part, 0).tensors)
    for index, (key, tensor) in enumerate(tensors.items()):
        if "conv5.weight" in key:
            tensors[key] = 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(index))
    network = load_network(tensors, part, True, part)
    x = torch.rand(1, 3, 24, 32)
    with torch.inference_mode():
        y, log_det = network.flow(x)
        assert (y - x).abs().max() > 0.05
        assert log_det.abs() > 1
        assert (network.flow.inverse(y) - x).abs().max() <= 1e-5


def test_cell_computes_equation_5_and_its_determinant():
    network = load_network(narrow().tensors, "x2", False, "x2").double()
    cell = network.flow.cells[0]
    x = torch.rand(1, 3, 3, 4, dtype=torch.float64)
    first, second = x[:, :1], x[:, 1:]
    y1, y2, _ = cell(first, second)
    torch.testing.assert_close(y1, first + cell.F(second))
    torch.testing.assert_close(y2, second * torch.exp(cell.H(y1)) + cell.G(y1))
    matrix = torch.autograd.functional.jacobian(lambda flat: network.flow(flat.view_as(x))[0].flatten(), x.flatten())
    torch.testing.assert_close(network.flow(x)[1][0], torch.linalg.slogdet(matrix).logabsdet)


def test_bound_of_beta_is_read_from_the_metadata():
    lr = torch.rand(1, 3, 6, 6)
    rescalers = [METHOD.build({"x2": narrow("x2", **m)}, "cpu", {}) for m in ({}, {"bounded_beta": "false"})]
    y1 = 40 * lr[:, :1]
    bounded, free = (rescaler.network.flow.cells[0].log_scale(y1) for rescaler in rescalers)
    assert bounded.abs().max() < 1
    torch.testing.assert_close(bounded, 2 * torch.sigmoid(free) - 1, atol=1e-6, rtol=1e-5)
    with pytest.raises(WeightsError, match="bounded_beta=maybe"):
        METHOD.build({"x2": narrow("x2", bounded_beta="maybe")}, "cpu", {})


def test_round_trip_follows_the_test_of_the_paper():
    rescaler = METHOD.build({"x2": narrow()}, "cpu", {})
    network, hr = rescaler.network, torch.rand(1, 3, 20, 24)
    with torch.inference_mode():
        x = (network.squeeze(hr).clamp(0, 1) * 255).round() / 255
        lr = (network.flow(x)[0].clamp(0, 1) * 255).round() / 255
        torch.testing.assert_close(rescaler.downscale(hr, 2.0), lr, atol=0, rtol=0)
        back = (network.flow.inverse(lr).clamp(0, 1) * 255).round() / 255
        torch.testing.assert_close(rescaler.upscale(lr, 2.0, (20, 24)), network.restore(back), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("part", "scale"), [("x2", 2), ("x4", 4)])
def test_odd_sizes(part, scale):
    rescaler = METHOD.build({part: narrow(part)}, "cpu", {})
    for height, width in [(45, 62), (1, 5), (32, 24)]:
        lr = rescaler.downscale(torch.rand(1, 3, height, width), scale)
        assert lr.shape == (1, 3, -(-height // scale), -(-width // scale))
        torch.testing.assert_close(lr * 255, (lr * 255).round(), atol=1e-4, rtol=0)
        assert rescaler.upscale(lr, scale, (height, width)).shape == (1, 3, height, width)
    with pytest.raises(NotNativeError):
        rescaler.downscale(torch.rand(1, 3, 9, 9), 3)


def test_training_separates_flow_from_scaling():
    network = FlowGuidedNetwork(replace(LAYOUTS["x2"], channels=8, growth=4, blocks=1))
    network.initialise(torch.Generator().manual_seed(0))
    outputs = network(torch.rand(2, 3, 8, 8))
    assert outputs.x.shape == outputs.guided.shape == (2, 3, 4, 4)
    assert outputs.log_det.shape == (2,)
    (outputs.guided.abs().mean() - 1e-3 * outputs.log_det.mean()).backward(retain_graph=True)
    assert all(p.grad is None for half in (network.down, network.up) for p in half.parameters())
    assert network.flow.cells[0].H.conv5.weight.grad.abs().max() > 0
    network.zero_grad()
    outputs.restored.sum().backward()
    assert all(p.grad is None for p in network.flow.parameters())
    assert network.down.head.weight.grad.abs().max() > 0


def test_a_fresh_flow_is_the_identity():
    network = load_network(METHOD.initial("x2", 0).tensors, "x2", True, "x2")
    x = torch.rand(1, 3, 5, 6)
    with torch.inference_mode():
        y, log_det = network.flow(x)
    torch.testing.assert_close(y, x, atol=0, rtol=0)
    assert log_det.item() == 0


def test_wrong_weights_are_described():
    good = narrow().tensors
    with pytest.raises(WeightsError, match="fgrn x4: the weights are for scale 2"):
        METHOD.build({"x4": State(good)}, "cpu", {})
    with pytest.raises(WeightsError, match=r"1 missing: up\.tail\.bias"):
        METHOD.build({"x2": State({k: t for k, t in good.items() if k != "up.tail.bias"})}, "cpu", {})
    with pytest.raises(WeightsError, match=r"of another shape: down\.closing\.bias \(9,\), wanted \(8,\)"):
        METHOD.build({"x2": State({**good, "down.closing.bias": torch.zeros(9)})}, "cpu", {})
    with pytest.raises(WeightsError, match="no weights given"):
        METHOD.build({}, "cpu", {})
    with pytest.raises(WeightsError, match="no part 'x3'"):
        METHOD.initial("x3", 0)


def test_initial_states_repeat():
    first, again, other = (METHOD.initial("x2", seed).tensors for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["down.head.weight"], other["down.head.weight"])


def test_what_is_seen_without_rounding():
    # 37 LR pixels for either trunk at ×4 (1 + 17·2 + 1 + 1) and 40 for the flow; the rounding in between is why the
    # method declares no margin: another order of sums may flip a level of the whole flow's input.
    reach = 4 * (37 + 40)
    assert METHOD.margin is None
    layout = replace(LAYOUTS["x4"], channels=4, growth=2)
    tensors = fresh_tensors(lambda: FlowGuidedNetwork(layout), 0)
    for key, tensor in tensors.items():
        if "conv5.weight" in key:
            tensors[key] = torch.full_like(tensor, 0.05)
    network = FlowGuidedNetwork(layout)
    network.load_state_dict(tensors)
    # Without rounding, every pixel that is seen has a gradient.
    wide = reach // 4 + 9
    hr = torch.rand(1, 3, 4, 4 * wide, requires_grad=True)
    network.flow(network.squeeze(hr))[0][..., -1].sum().backward()
    lr = torch.rand(1, 3, 1, wide, requires_grad=True)
    network.restore(network.flow.inverse(lr))[..., -1].sum().backward()
    for image, limit in ((hr, reach), (lr, reach // 4)):
        seen = image.grad.abs().amax((0, 1, 2)).nonzero().min().item()
        assert image.shape[-1] - 1 - seen <= limit


def test_record():
    assert METHOD.parts(Decimal(4)) == ("x4",)
    code = (
        "import sys, rescale_bench_plugins.fgrn as p; list(p.rescale_bench_methods()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("height", [20, 90])
def test_streamed_trunks_equal_whole_ones(monkeypatch, height):
    from rescale_bench.networks import lines

    monkeypatch.setattr(lines, "SLAB_BYTES", 1)
    layout = replace(LAYOUTS["x2"], channels=8, growth=4, blocks=3)
    network = FlowGuidedNetwork(layout).double().eval()
    lr = torch.rand(2, 3, height, 11, dtype=torch.float64)
    with torch.no_grad():
        streamed = network.restore(lr)
    torch.testing.assert_close(streamed, network.restore(lr).detach(), atol=1e-12, rtol=0)

"""AIDN against arrays recorded from the published implementation, and its own promises."""

import numpy as np
import pytest
import torch
from rescale_bench_plugins import aidn
from rescale_bench_plugins.aidn.layout import AidnLayout
from rescale_bench_plugins.aidn.network import Aidn, initial_aidn
from rescale_bench_plugins.aidn.rescaler import load_aidn
from rescale_bench_plugins.aidn.training import quantise

from rescale_bench.api.records import State
from rescale_bench.api.scales import lr_side, lr_size
from rescale_bench.errors import MethodError, NotNativeError, WeightsError
from rescale_bench.networks.sampling import sample_map, source_positions

(METHOD,) = aidn.rescale_bench_methods()
SMALL = AidnLayout(blocks=4, width=8, adaptions=2, mask_width=4, kernels=3, routing_width=5, experts=3, reduced=2)


@pytest.fixture
def load_case(parity_root, monkeypatch):
    monkeypatch.syspath_prepend(str(parity_root))
    from fill import load_case

    def load(name):
        case, state, arrays = load_case(parity_root / name)
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
        return case, tensors, {key: torch.from_numpy(value)[None] for key, value in arrays.items()}

    return load


def small(seed=0):
    """Draw a small state whose batch norms and offsets do something."""
    tensors = initial_aidn(SMALL, seed)
    generator = torch.Generator().manual_seed(seed)
    for key, value in tensors.items():
        if key.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator))
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        if key.endswith("offset.bias"):
            value.copy_(torch.tensor([3.3, -2.6]))
    return tensors


def build(size="exact"):
    return METHOD.build({"any": State(small())}, "cpu", {"size": size})


def assert_close(found, expected, tolerance=1e-4):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("scale", ["1.5", "2.0", "2.75", "4.0"])
def test_equals_the_published_implementation(load_case, scale):
    _, tensors, arrays = load_case(f"aidn_s{scale}")
    rescaler = METHOD.build({"any": State(tensors)}, "cpu", {"size": "exact"})
    hr = arrays["hr"] / 255
    lr = rescaler.downscale(hr, float(scale))
    assert_close(lr, arrays["lr"])
    sent = arrays["lr"].clamp(0, 1).mul(255).round().div(255)
    assert_close(rescaler.upscale(sent, float(scale), tuple(hr.shape[-2:])), arrays["hr_out"])
    assert rescaler.parameter_count == METHOD.parameters["any"] == 3_775_362


def test_initial_state_has_the_published_layout(load_case):
    _, published, _ = load_case("aidn_s2.0")
    state = METHOD.initial("any", 5).tensors
    assert len(state) == 432
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in published.items()}
    for key in ("down_net.sub_mean.bias", "up_net.add_mean.bias", "up_net.sub_mean.weight"):
        assert torch.equal(state[key], published[key])
    again, other = METHOD.initial("any", 5).tensors, METHOD.initial("any", 6).tensors
    assert all(torch.equal(state[key], again[key]) for key in state)
    assert not torch.equal(state["up_net.head.0.weight"], other["up_net.head.0.weight"])


@pytest.mark.parametrize(("scale", "rows"), [(1.1, 16), (1.9, 1), (2.5, 7), (3.7, 16), (4.0, 33)])
def test_strips_equal_the_whole(monkeypatch, scale, rows):
    from rescale_bench.networks import lines

    # Slabs of few rows, which leave a last one of fewer; in float64, where equal means equal.
    monkeypatch.setattr(lines, "SLAB_BYTES", 1)
    monkeypatch.setattr(lines, "LEAST_ROWS", rows)
    network = load_aidn(State(small()), "cpu", "test").double()
    hr = torch.rand(2, 3, 101, 700, dtype=torch.float64)
    size = lr_size((101, 700), scale)
    with torch.no_grad():
        lean = network.down(hr, scale, size)
        back = network.up(lean, scale, (101, 700))
    assert_close(lean, network.down(hr, scale, size).detach(), 1e-12)
    assert_close(back, network.up(lean, scale, (101, 700)).detach(), 1e-12)


def per_pixel(module, features, step, size):
    """Resample as Fig. 4 draws it: one matrix down and one up for each pixel, made by mixing the experts'."""
    (y, rel_h), (x, rel_w) = (source_positions(side, step, features) for side in size)
    y, x = y[:, None].expand(size)[None], x.expand(size)[None]
    given = [torch.full(size, step)] * 2 + [rel_h[:, None].expand(size), rel_w.expand(size)]
    hidden = module.body(torch.cat((torch.stack(given)[None], sample_map(features, x, y)), 1))
    offset, shares = module.offset(hidden), module.routing(hidden)[0]
    f = sample_map(features, x + offset[:, 0], y + offset[:, 1])[0]
    down = torch.einsum("nhw,nrc->hwrc", shares, module.weight_compress[..., 0, 0])
    up = torch.einsum("nhw,ncr->hwcr", shares, module.weight_expand[..., 0, 0])
    return (f + torch.einsum("hwcr,hwrd,dhw->chw", up, down, f))[None]


@pytest.mark.parametrize(("step", "size"), [(2.3, (9, 13)), (1 / 2.3, (40, 60))])
def test_mixing_outputs_equals_per_pixel_kernels(step, size):
    module = load_aidn(State(small()), "cpu", "test").down_net.sa_sample
    features = torch.randn(1, 8, 20, 29)
    with torch.no_grad():
        expected = per_pixel(module, features, step, size)
        assert_close(module(features, step, size), expected, 1e-5)
        slabs = iter(features.contiguous(memory_format=torch.channels_last).split(6, 2))
        strips = list(module.rows(slabs, (20, 29), step, size, back=2))
        assert_close(torch.cat(strips, 2), expected, 1e-5)


@pytest.mark.parametrize("offset", [(0.0, -70.0), (0.0, 70.0), (1e6, -1e6)])
def test_far_offsets_are_followed(monkeypatch, offset):
    from rescale_bench.networks import lines

    monkeypatch.setattr(lines, "SLAB_BYTES", 1)
    tensors = small()
    for half in ("down_net", "up_net"):
        tensors[f"{half}.sa_sample.offset.bias"].copy_(torch.tensor(offset))
    network = load_aidn(State(tensors), "cpu", "test").double()
    hr = torch.rand(1, 3, 160, 20, dtype=torch.float64)
    with torch.no_grad():
        found = network.down(hr, 1.5, (107, 14))
    # Rows 70 above are no longer held: the map is then made again and kept whole.
    assert_close(found, network.down(hr, 1.5, (107, 14)).detach(), 1e-12)


def test_work_grows_with_the_pixels_alone(monkeypatch):
    """Rows at the borders of slabs are computed once."""
    from rescale_bench.machine.profiling import count_macs
    from rescale_bench.networks import lines

    network = load_aidn(State(small()), "cpu", "test")
    hr = torch.rand(1, 3, 96, 40)
    whole = count_macs(lambda: network.down(hr, 2.0, (48, 20)))
    monkeypatch.setattr(lines, "SLAB_BYTES", 1)
    assert count_macs(lambda: network.down(hr, 2.0, (48, 20))) == whole


@pytest.mark.parametrize("scale", [1.1, 1.9, 2.0, 2.5, 3.0, 3.7, 4.0])
@pytest.mark.parametrize("size", [(45, 62), (97, 131)])
def test_any_size_round_trips(scale, size):
    rescaler = build()
    hr = torch.rand(1, 3, *size)
    lr = rescaler.downscale(hr, scale)
    assert lr.shape == (1, 3, *lr_size(size, scale))
    assert torch.equal(lr, rescaler.downscale(hr, scale))
    back = rescaler.upscale(lr, scale, size)
    assert back.shape == hr.shape
    assert back.isfinite().all()


def test_published_sizes_follow_floating_point():
    hr = torch.rand(1, 3, 276, 20)
    assert lr_side(276, 2.3) == 120
    lr = build("published").downscale(hr, 2.3)
    assert lr.shape[2] == 121
    assert build("published").upscale(lr, 2.3, (276, 20)).shape == hr.shape
    assert build().downscale(hr, 2.3).shape[2] == 120
    with pytest.raises(MethodError, match=r"121×9 at scale 2\.3"):
        build().upscale(lr, 2.3, (276, 20))


def test_refuses_what_it_does_not_serve():
    rescaler = build()
    for scale in (1.0, 4.1):
        with pytest.raises(NotNativeError, match=r"\(1, 4\]"):
            rescaler.downscale(torch.rand(1, 3, 16, 16), scale)
        with pytest.raises(NotNativeError):
            rescaler.upscale(torch.rand(1, 3, 8, 8), scale, (16, 16))
    with pytest.raises(MethodError, match="1×4"):
        rescaler.downscale(torch.rand(1, 3, 3, 16), 4.0)
    with pytest.raises(MethodError, match="1×4"):
        rescaler.upscale(torch.rand(1, 3, 1, 4), 4.0, (3, 16))


def test_gradients_reach_every_trained_tensor():
    network = Aidn(SMALL)
    for half in (network.down_net, network.up_net):
        torch.nn.init.zeros_(half.sa_sample.offset.weight)
        torch.nn.init.zeros_(half.sa_sample.offset.bias)
    hr = torch.rand(2, 3, 24, 18)
    lr = network.down(hr, 2.0, (12, 9))
    loss = (network.up(quantise(lr), 2.0, (24, 18)) - hr).abs().mean() + lr.square().mean()
    loss.backward()
    for key, value in network.named_parameters():
        if "_mean." in key:
            assert value.grad is None
        else:
            assert value.grad is not None, key
            assert value.grad.isfinite().all(), key
    for half in (network.down_net, network.up_net):
        assert half.sa_sample.offset.weight.grad.abs().max() > 0


def test_training_mode_uses_the_statistics_of_the_batch():
    network = load_aidn(State(small()), "cpu", "test").train()
    before = network.down_net.sa_adapt[0].mask[1].running_mean.clone()
    with torch.no_grad():
        network.down(torch.rand(1, 3, 20, 20), 2.0, (10, 10))
    assert not torch.equal(before, network.down_net.sa_adapt[0].mask[1].running_mean)


@pytest.mark.parametrize("span", [255, 1])
def test_quantiser(span):
    image = torch.linspace(-0.2, 1.2, 141, dtype=torch.float64, requires_grad=True)
    rounded = quantise(image, 0.5, span)
    assert torch.equal(rounded, (image.detach().clamp(0, 1) * 255).round() / 255)
    rounded.sum().backward()
    inside = image.detach().clamp(0, 1)
    assert torch.allclose(image.grad, 1 - 0.5 * torch.cos(2 * torch.pi * span * inside))


def test_wrong_weights_are_named():
    def fail(change, words):
        tensors = dict(small())
        change(tensors)
        with pytest.raises(WeightsError, match=words):
            METHOD.build({"any": State(tensors)}, "cpu", {})

    fail(lambda t: t.pop("down_net.head.0.weight"), "no tensor 'down_net.head.0.weight'")
    fail(lambda t: t.pop("up_net.sa_sample.offset.bias"), "missing: up_net.sa_sample.offset.bias")
    fail(lambda t: t.update({"jpeg.y_table": torch.zeros(1)}), "unexpected: jpeg.y_table")
    fail(lambda t: t.update({"up_net.tail.1.bias": torch.zeros(2)}), r"up_net.tail.1.bias \(2,\), wanted \(3,\)")
    with pytest.raises(WeightsError, match="any are missing"):
        METHOD.build({}, "cpu", {})


def test_the_jpeg_tables_of_the_jpeg_aware_variant_are_ignored():
    from fnmatch import fnmatchcase

    assert any(fnmatchcase("jpeg.y_table", pattern) for pattern in METHOD.ignored)
    assert not any(fnmatchcase(key, pattern) for key in small() for pattern in METHOD.ignored)

"""The IRN family against the arrays recorded from the published implementation, and its own promises."""

import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
import torch
from rescale_bench_plugins import irn
from rescale_bench_plugins.irn.network import load_network
from rescale_bench_plugins.irn.rescaler import LAYOUTS
from rescale_bench_plugins.irn.squeeze import LearnedSqueeze

from rescale_bench.api.records import State
from rescale_bench.errors import MethodError, NotNativeError, WeightsError
from rescale_bench.networks.loading import parameter_count
from rescale_bench.networks.quantise import quantise

METHODS = {method.name: method for method in irn.rescale_bench_methods()}
CASES = {
    "irn_x2": ("irn", "x2"),
    "irn_x4": ("irn", "x4"),
    "irn_x8": ("irn", "x8"),
    "irn_ld_x3": ("irn-ld", "x3"),
    "irn_e_x4": ("irn-e", "x4"),
}


@pytest.fixture
def load_case(parity_root, monkeypatch):
    monkeypatch.syspath_prepend(str(parity_root))
    from fill import load_case

    def load(name):
        _, state, arrays = load_case(parity_root / name)
        return State({key: torch.from_numpy(value) for key, value in state.items()}), arrays

    return load


def batch(array):
    image = torch.from_numpy(array).float()[None]
    return image / 255 if array.dtype == np.uint8 else image


def assert_close(found, expected):
    expected = torch.from_numpy(expected)[None]
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def narrow(name, part, growth=4, seed=0):
    """Make a random state with fewer channels, so that a test takes milliseconds; it loads by its shapes alone."""
    from dataclasses import replace

    from rescale_bench_plugins.irn.network import InvertibleNetwork

    network = InvertibleNetwork(replace(LAYOUTS[name][part], growth=growth))
    generator = torch.Generator().manual_seed(seed)
    network.initialise(generator)
    for key, parameter in network.named_parameters():
        if "conv5.weight" in key:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return State({key: tensor.detach() for key, tensor in network.state_dict().items()})


@pytest.mark.parametrize("name", CASES)
def test_parity_through_build(name, load_case):
    method, part = CASES[name]
    state, arrays = load_case(name)
    rescaler = METHODS[method].build({part: state}, "cpu", {"z": "zero"})
    hr, size = batch(arrays["hr"]), arrays["hr"].shape[1:]
    lr = rescaler.downscale(hr, rescaler.scale)
    assert_close(lr, arrays["lr"])
    assert_close(rescaler.upscale(quantise(lr), rescaler.scale, size), arrays["hr_z0"])


@pytest.mark.parametrize("name", CASES)
def test_parity_of_latent_and_given_z(name, load_case):
    method, part = CASES[name]
    state, arrays = load_case(name)
    network = load_network(state.tensors, LAYOUTS[method][part], name)
    with torch.inference_mode():
        lr, latent = network(batch(arrays["hr"]))
        restored = network.inverse(quantise(lr), batch(arrays["z"]))
    assert_close(lr, arrays["lr"])
    assert_close(latent, arrays["latent"])
    assert_close(restored, arrays["hr_z"])


def test_parity_of_colour(load_case):
    state, arrays = load_case("irn_color")
    rescaler = METHODS["irn-color"].build({"x1": state}, "cpu", {})
    rgb = batch(arrays["hr"]).flip(1)  # the case's arrays are BGR, as the published network reads them
    grey = rescaler.downscale(rgb, 1)
    assert_close(grey, arrays["grey"])
    assert_close(rescaler.upscale(quantise(grey), 1, rgb.shape[-2:]).flip(1), arrays["hr_z0"])
    with torch.inference_mode():
        assert_close(rescaler.network(batch(arrays["hr"]))[1], arrays["latent"])


def test_parity_of_restore_module(load_case):
    crm, arrays = load_case("irn_crm")
    states = {"x2": narrow("irn-jpeg", "x2"), "crm": crm}
    rescaler = METHODS["irn-jpeg"].build(states, "cpu", {"z": "zero", "crm": True})
    lr = batch(arrays["lr"])
    with torch.inference_mode():
        assert_close(rescaler.restore(lr), arrays["out"])
    size = (2 * lr.shape[-2], 2 * lr.shape[-1])
    plain = METHODS["irn-jpeg"].build(states, "cpu", {"z": "zero", "crm": False})
    restored = plain.upscale(torch.from_numpy(arrays["out"])[None], 2, size)
    torch.testing.assert_close(rescaler.upscale(lr, 2, size), restored, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain.upscale(lr, 2, size), restored)


def test_training_path_equals_inference(load_case):
    state, arrays = load_case("irn_x4")
    network = load_network(state.tensors, LAYOUTS["irn"]["x4"], "irn x4").train()
    lr, latent = network(batch(arrays["hr"]))
    assert_close(lr, arrays["lr"])
    (lr.sum() + latent.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(("name", "part"), [(m.name, part) for m in METHODS.values() for part in m.parameters])
def test_parameter_counts_of_the_papers(name, part):
    from rescale_bench_plugins.irn.restore import load_restore

    method = METHODS[name]
    state = method.initial(part, 0)
    if part == "crm":
        assert parameter_count(load_restore(state.tensors, name)) == method.parameters[part]
    else:
        assert parameter_count(load_network(state.tensors, LAYOUTS[name][part], name)) == method.parameters[part]


def test_counts_are_those_of_the_specification():
    counts = {(method.name, part): count for method in METHODS.values() for part, count in method.parameters.items()}
    assert counts["irn", "x2"] == counts["irn-jpeg", "x2"] == 1_668_000
    assert counts["irn", "x4"] == counts["irn-plus", "x4"] == 4_355_376
    assert counts["irn", "x8"] == 11_120_256
    assert counts["irn-ld", "x3"] == 3_139_029
    assert counts["irn-e", "x4"] == 5_374_608
    assert counts["irn-color", "x1"] == 1_413_601
    assert counts["irn-jpeg", "crm"] == 5_795_843


@pytest.mark.parametrize(("name", "part"), [("irn", "x8"), ("irn-ld", "x3"), ("irn-e", "x4"), ("irn-color", "x1")])
def test_network_inverts(name, part):
    network = load_network(narrow(name, part).tensors, LAYOUTS[name][part], name)
    hr = torch.rand(2, 3, 24, 48)
    with torch.inference_mode():
        lr, latent = network(hr)
        assert latent.std() > 0.01
        torch.testing.assert_close(network.downscale(hr), lr, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(network.inverse(lr, latent), hr, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "part", "scale"), [("irn", "x2", 2), ("irn", "x4", 4), ("irn-ld", "x3", 3)])
def test_odd_sizes(name, part, scale):
    rescaler = METHODS[name].build({part: narrow(name, part)}, "cpu", {"z": "zero"})
    for height, width in [(45, 62), (1, 5), (32, 24)]:
        hr = torch.rand(1, 3, height, width)
        lr = rescaler.downscale(hr, float(scale))
        assert lr.shape == (1, 3, -(-height // scale), -(-width // scale))
        assert rescaler.upscale(lr, float(scale), (height, width)).shape == hr.shape


def test_a_fresh_network_downscales_by_averaging():
    hr = torch.rand(1, 3, 12, 12)
    for name, part, scale in [("irn", "x2", 2), ("irn-e", "x4", 4), ("irn-ld", "x3", 3)]:
        rescaler = METHODS[name].build({part: METHODS[name].initial(part, 1)}, "cpu", {})
        expected = torch.nn.functional.avg_pool2d(hr, scale)
        torch.testing.assert_close(rescaler.downscale(hr, scale), expected, atol=1e-6, rtol=0)
    grey = METHODS["irn-color"].build({"x1": METHODS["irn-color"].initial("x1", 1)}, "cpu", {}).downscale(hr, 1)
    luma = (hr * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(grey, luma, atol=1e-6, rtol=0)


def test_latent_options():
    states, lr = {"x2": narrow("irn", "x2")}, torch.rand(1, 3, 8, 8)

    def upscale(seed, **options):
        torch.manual_seed(seed)
        return METHODS["irn"].build(states, "cpu", options).upscale(lr, 2, (16, 16))

    drawn = upscale(1, z="gaussian", z_scale=1.0)
    torch.testing.assert_close(upscale(1), drawn, atol=0, rtol=0)
    assert not torch.equal(upscale(2), drawn)
    zero = upscale(1, z="zero")
    torch.testing.assert_close(upscale(2, z="zero"), zero, atol=0, rtol=0)
    torch.testing.assert_close(upscale(3, z_scale=0.0), zero, atol=0, rtol=0)
    small = upscale(1, z_scale=0.1)
    assert (small - zero).abs().mean() < 0.3 * (drawn - zero).abs().mean()


def test_latent_is_drawn_from_the_global_cpu_generator():
    rescaler = METHODS["irn"].build({"x2": narrow("irn", "x2")}, "cpu", {"z": "gaussian", "z_scale": 0.5})
    lr = torch.rand(1, 3, 8, 8)
    torch.manual_seed(5)
    found = rescaler.upscale(lr, 2, (16, 16))
    z = torch.randn(1, 9, 8, 8, generator=torch.Generator().manual_seed(5)) * 0.5
    with torch.inference_mode():
        torch.testing.assert_close(found, rescaler.network.inverse(lr, z), atol=0, rtol=0)


def test_scales_and_sizes_are_checked():
    rescaler = METHODS["irn"].build({"x2": narrow("irn", "x2")}, "cpu", {})
    with pytest.raises(NotNativeError, match=r"scale 2, not 2\.5"):
        rescaler.downscale(torch.rand(1, 3, 8, 8), 2.5)
    with pytest.raises(MethodError, match="4×4 cannot give 9×8; it must be 5×4"):
        rescaler.upscale(torch.rand(1, 3, 4, 4), 2, (9, 8))
    both = METHODS["irn"].build({"x2": narrow("irn", "x2"), "x4": narrow("irn", "x4")}, "cpu", {})
    assert both.downscale(torch.rand(1, 3, 8, 8), 4.0).shape[-2:] == (2, 2)
    assert both.downscale(torch.rand(1, 3, 8, 8), 2).shape[-2:] == (4, 4)
    with pytest.raises(NotNativeError, match="scale 2, 4, not 3"):
        both.downscale(torch.rand(1, 3, 9, 9), 3)


def test_wrong_weights_are_described():
    good = dict(narrow("irn", "x2").tensors)

    def attempt(changes=(), name="irn", part="x2", **more):
        tensors = {key: tensor for key, tensor in (good | more).items() if key not in changes}
        return METHODS[name].build({part: State(tensors)}, "cpu", {})

    with pytest.raises(WeightsError, match=r"irn x4: the weights hold Haar, 8 blocks \(growth 4\), not Haar, 8 bl"):
        attempt(part="x4")
    with pytest.raises(WeightsError, match=r"1 missing: operations\.3\.G\.conv2\.bias"):
        attempt(["operations.3.G.conv2.bias"])
    with pytest.raises(WeightsError, match=r"1 unexpected: operations\.1\.extra"):
        attempt(**{"operations.1.extra": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"1 of another shape: operations\.2\.F\.conv5\.bias \(4,\), wanted \(3,\)"):
        attempt(**{"operations.2.F.conv5.bias": torch.zeros(4)})
    with pytest.raises(WeightsError, match=r"241 missing: operations\.0\.haar_weights, .*1 unexpected: conv\.weight"):
        METHODS["irn"].build({"x2": State({"conv.weight": torch.zeros(1)})}, "cpu", {})
    with pytest.raises(WeightsError, match=r"operations\.0\.haar_weights are not the Haar signs"):
        attempt(**{"operations.0.haar_weights": -good["operations.0.haar_weights"]})
    with pytest.raises(WeightsError, match=r"not finite in operations\.1\.F\.conv1\.bias"):
        attempt(**{"operations.1.F.conv1.bias": torch.full((4,), float("nan"))})
    with pytest.raises(WeightsError, match="irn-jpeg: no weights for the part crm"):
        attempt(name="irn-jpeg")
    with pytest.raises(WeightsError, match="irn: no weights given"):
        METHODS["irn"].build({}, "cpu", {})


def test_a_missing_operation_lists_its_keys():
    tensors = {key: t for key, t in narrow("irn", "x2").tensors.items() if not key.startswith("operations.4.")}
    with pytest.raises(WeightsError, match=r"30 missing: operations\.4\.F\.conv1\.weight"):
        METHODS["irn"].build({"x2": State(tensors)}, "cpu", {})


def test_initial_states_repeat():
    first, again, other = (METHODS["irn"].initial("x2", seed).tensors for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    load_network(first, LAYOUTS["irn"]["x2"], "every tensor is set")
    assert not torch.equal(first["operations.1.F.conv1.weight"], other["operations.1.F.conv1.weight"])
    weight = first["operations.1.F.conv4.weight"]  # Xavier normal × 0.1: σ = 0.1·√(2 / (9·(fan_in + fan_out)))
    assert weight.std().item() == pytest.approx(0.1 * (2 / (9 * (105 + 32))) ** 0.5, rel=0.03)
    assert first["operations.1.F.conv5.weight"].abs().max() == 0
    with pytest.raises(WeightsError, match="no part 'x3'"):
        METHODS["irn"].initial("x3", 0)


def test_building_leaves_the_generator_alone():
    state = narrow("irn", "x2")
    torch.manual_seed(0)
    before = torch.get_rng_state()
    METHODS["irn"].build({"x2": state}, "cpu", {})
    METHODS["irn"].initial("x2", 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_learned_squeeze_orders_pixels_by_row():
    squeeze = LearnedSqueeze(3)
    y = squeeze(torch.arange(27.0).reshape(1, 3, 3, 3))
    assert y.flatten().tolist() == [9.0 * colour + pixel for pixel in range(9) for colour in range(3)]


def test_records():
    assert [method.parts(Decimal(4)) for name, method in METHODS.items() if name in ("irn", "irn-e")] == [("x4",)] * 2
    assert METHODS["irn-jpeg"].parts(Decimal(2)) == ("x2", "crm")
    assert METHODS["irn-jpeg"].codec == "jpeg:90"
    assert METHODS["irn-color"].lr_channels == 1
    assert not METHODS["irn-color"].traits.draws
    assert METHODS["irn-e"].weights == ()
    assert [file.file for file in METHODS["irn"].weights] == ["IRN_x2.pth", "IRN_x4.pth", "IRN_x8.pth"]
    assert [file.file for file in METHODS["irn-plus"].weights] == ["IRN+_x4.pth"]
    assert all("pkuxmq" in file.source for method in METHODS.values() for file in method.weights)
    for method in METHODS.values():
        parts = {part for scale in method.scales.values for part in method.parts(scale)}
        assert parts == set(method.parameters)


def test_margin_of_colour_covers_what_is_seen():
    margin = METHODS["irn-color"].margin
    rescaler = METHODS["irn-color"].build({"x1": narrow("irn-color", "x1")}, "cpu", {})
    hr = torch.rand(1, 3, 2, margin + 40)
    changed = hr.clone()
    changed[..., 0] = 1 - changed[..., 0]
    down = (rescaler.downscale(hr, 1) - rescaler.downscale(changed, 1)).abs().amax((0, 1, 2))
    size = (2, margin + 40)
    up = (rescaler.upscale(hr[:, :1], 1, size) - rescaler.upscale(changed[:, :1], 1, size)).abs().amax((0, 1, 2))
    for difference in (down, up):
        assert difference[0] > 0
        assert difference[margin + 1 :].max() == 0


@pytest.mark.parametrize(
    ("name", "part", "expected"),
    [("irn", "x2", 80), ("irn", "x4", 120), ("irn", "x8", 140), ("irn-ld", "x3", 120), ("irn-e", "x4", 160)],
)
def test_margin_of_a_build_covers_what_is_seen_where_z_is_zero(name, part, expected):
    method, state, scale = METHODS[name], narrow(name, part), int(part[1:])
    options = {"z": "zero"}
    margin = method.build_margin({part: state}, options)
    assert margin == expected
    lr = torch.rand(1, 3, 2, margin + 24)
    changed = lr.clone()
    changed[..., 0] = 1 - changed[..., 0]
    rescaler = method.build({part: state}, "cpu", options)
    wide = scale * lr.shape[-1]
    up = [rescaler.upscale(item, scale, (2 * scale, wide)) for item in (lr, changed)]
    hr = torch.rand(1, 3, 2 * scale, wide)
    other = hr.clone()
    other[..., :scale] = 1 - other[..., :scale]
    down = [rescaler.downscale(item, scale) for item in (hr, other)]
    for (first, second), pixel in ((up, scale), (down, 1)):
        difference = (first - second).abs().amax((0, 1, 2))
        assert difference[:pixel].max() > 0
        assert difference[(margin + 1) * pixel :].max() == 0


def test_a_drawn_latent_has_no_margin():
    state = narrow("irn", "x2")
    zero = State(state.tensors, {"z": "zero"})
    margin = METHODS["irn"].build_margin
    assert margin({"x2": state}, {"z": "learned", "z_scale": 1.0}) is None
    assert margin({"x2": zero}, {"z": "gaussian", "z_scale": 1.0}) is None
    assert margin({"x2": zero}, {"z": "learned", "z_scale": 1.0}) == 80
    assert margin({"x2": state}, {"z": "gaussian", "z_scale": 0.0}) == 80


def test_listing_imports_no_torch():
    code = (
        "import sys, rescale_bench_plugins.irn as p; list(p.rescale_bench_methods());sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

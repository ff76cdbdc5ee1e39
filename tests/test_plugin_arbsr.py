"""ArbRCAN against arrays recorded from the published implementation, and its own promises."""

import subprocess
import sys

import pytest
import torch
from published_files import as_parallel, batches, build, difference, load_case, write_and_import
from rescale_bench_plugins import arbsr
from rescale_bench_plugins.arbsr.layout import ArbRcanLayout
from rescale_bench_plugins.arbsr.network import ArbRcan, initial_arb_rcan
from rescale_bench_plugins.arbsr.rescaler import build_arb_rcan

from rescale_bench.api.records import State
from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import lr_size, parse_scales
from rescale_bench.errors import MethodError, NotNativeError, UnavailableError, WeightsError
from rescale_bench.networks import lines
from rescale_bench.roundtrip.conformance import verify

(METHOD,) = arbsr.rescale_bench_methods()
SMALL = ArbRcanLayout(
    groups=2, blocks=2, width=8, squeezed=3, mask_width=4, kernels=3, routing_width=5, experts=3, reduced=2
)
TOLERANCE = 2e-3


def small(seed=0):
    """Draw a small state whose batch norms and offsets do something."""
    tensors = initial_arb_rcan(SMALL, seed)
    generator = torch.Generator().manual_seed(seed)
    for key, value in tensors.items():
        if key.endswith("running_mean"):
            value.copy_(torch.randn(value.shape, generator=generator))
        if key.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        if key.endswith("offset.bias"):
            value.copy_(torch.tensor([1.3, -0.6]))
    return tensors


def small_rescaler():
    return build_arb_rcan({"any": State(small())}, "cpu", METHOD.scales)


@pytest.fixture(scope="module")
def published(parity_root, tmp_path_factory):
    """The pair as a run builds it from an imported file, and the case."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESCALE_BENCH_HOME", str(folder))
        case, tensors, arrays = load_case(parity_root, "arbrcan")
        write_and_import(folder, "arb-rcan", "any", as_parallel(tensors), METHOD.weights[0].file)
        pair = build("bicubic+arb-rcan", 2)
    return pair, tensors, case, batches(arrays)


NAMES = ("out_1.6", "out_2", "out_2.75", "out_4", "out_1.5x3.5", "out_3x1.1")


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_published_implementation(published, name):
    pair, _, case, arrays = published
    vertical, horizontal = case["scales"][name]
    lr, expected = arrays["lr"] * 255, arrays[name]
    with torch.inference_mode():
        found = pair.up.network(lr, (vertical, horizontal), expected.shape[-2:])
    assert difference(found, expected) < TOLERANCE
    if vertical == horizontal:
        # LR = ceil(H/s): the harness asks for one size that has this LR, and a pixel does not depend on that.
        size = tuple(int(low * vertical) for low in lr.shape[-2:])
        restored = pair.upscale(arrays["lr"], vertical, size)
        assert difference(restored * 255, expected[..., : size[0], : size[1]]) < TOLERANCE


def test_counts_and_layout_of_the_specification(published):
    pair, tensors, _, _ = published
    assert set(NAMES) == published[2]["scales"].keys()
    state = METHOD.initial("any", 3).tensors
    assert len(state) == 1970
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in tensors.items()}
    for key in ("sub_mean.bias", "sub_mean.weight", "add_mean.bias"):
        assert torch.equal(state[key], tensors[key])
    assert pair.up.parameter_count == METHOD.parameters["any"] == 16_926_151
    assert ArbRcanLayout.infer(state, "test") == ArbRcanLayout()


@pytest.mark.parametrize(("scales", "rows"), [((1.1, 1.1), 16), ((2.75, 2.75), 7), ((1.5, 3.5), 16), ((4.0, 4.0), 33)])
def test_strips_equal_the_whole(monkeypatch, scales, rows):
    # Slabs of few rows, which leave a last one of fewer; in float64, where equal means equal.
    monkeypatch.setattr(lines, "SLAB_BYTES", 1)
    monkeypatch.setattr(lines, "LEAST_ROWS", rows)
    network = small_rescaler().network.double()
    lr = torch.rand(2, 3, 41, 30, dtype=torch.float64) * 255
    size = (int(41 * scales[0]), int(30 * scales[1]))
    with torch.no_grad():
        lean = network(lr, scales, size)
    whole = network(lr, scales, size).detach()
    assert lean.shape == (2, 3, *size)
    assert (lean - whole).abs().max() < 1e-9


def test_a_pixel_does_not_depend_on_the_size_asked_for():
    network, lr = small_rescaler().network, torch.rand(1, 3, 12, 10) * 255
    with torch.inference_mode():
        large, part = network(lr, (2.3, 2.3), (27, 23)), network(lr, (2.3, 2.3), (20, 11))
    torch.testing.assert_close(large[..., :20, :11], part, atol=1e-3, rtol=0)


def test_an_odd_side_is_extended_by_reflection():
    network, lr = small_rescaler().network, torch.rand(1, 3, 13, 9) * 255
    extended = torch.nn.functional.pad(lr, (0, 1, 0, 1), mode="reflect")
    with torch.inference_mode():
        found = network(lr, (2.0, 2.0), (26, 18))
        expected = network(extended, (2.0, 2.0), (28, 20))[..., :26, :18]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [1.1, 1.9, 2.5, 3.0, 4.0])
@pytest.mark.parametrize("size", [(45, 62), (9, 131)])
def test_any_size_is_served(scale, size):
    lr = torch.rand(1, 3, *lr_size(size, scale))
    restored = small_rescaler().upscale(lr, scale, size)
    assert restored.shape == (1, 3, *size)
    assert restored.isfinite().all()


def test_places_between_pixels_repeat():
    """×2.75 is 11/4: eleven places along an axis, whatever the image's size."""
    module, seen = small_rescaler().network.sa_upsample, []
    module.body.register_forward_hook(lambda *call: seen.append(call[1][0].shape[-2:]))
    features = torch.rand(1, 8, 40, 20).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        list(module.rows(features, (1 / 2.75, 1 / 2.75), (110, 55)))
    assert {tuple(shape) for shape in seen} == {(11, 11)}


def test_refuses_what_it_does_not_serve():
    rescaler = small_rescaler()
    for scale in (1.0, 4.1):
        with pytest.raises(NotNativeError, match=r"\(1, 4\]"):
            rescaler.upscale(torch.rand(1, 3, 8, 8), scale, (16, 16))
    with pytest.raises(MethodError, match="an LR of 1×4 has no sampling grid"):
        rescaler.upscale(torch.rand(1, 3, 1, 4), 4.0, (3, 16))
    with pytest.raises(MethodError, match="8×8 at scale 2 cannot give 18×16; it must be 9×8"):
        rescaler.upscale(torch.rand(1, 3, 8, 8), 2.0, (18, 16))
    with pytest.raises(MethodError, match=r"pair it with a downscaler: bicubic\+arb-rcan"):
        rescaler.downscale(torch.rand(1, 3, 8, 8), 2.0)


def test_gradients_reach_every_trained_tensor():
    network = ArbRcan(SMALL)
    network(torch.rand(2, 3, 8, 6) * 255, (2.5, 2.5), (20, 15)).square().mean().backward()
    for key, value in network.named_parameters():
        assert (value.grad is None) == ("_mean." in key), key


def test_wrong_weights_are_named():
    def fail(change, words):
        tensors = dict(small())
        change(tensors)
        with pytest.raises(WeightsError, match=words):
            METHOD.build({"any": State(tensors)}, "cpu", {})

    fail(lambda t: t.pop("head.0.weight"), "not an ArbRCAN: no tensor 'head.0.weight'")
    fail(lambda t: t.pop("sa_upsample.offset.bias"), "missing: sa_upsample.offset.bias")
    fail(lambda t: t.update({"tail.1.bias": torch.zeros(2)}), r"tail.1.bias \(2,\), wanted \(3,\)")
    with pytest.raises(WeightsError, match="any are missing"):
        METHOD.build({}, "cpu", {})


def test_type_two_conforms():
    registry = load_registry()
    spec = "bicubic+arb-rcan:weights=random"
    findings = list(verify(spec, registry, [(13, 18)], parse_scales("1.9,2"), separate=False))
    assert len(findings) > 3
    assert [finding for finding in findings if finding.status == "failed"] == []


def test_arb_edsr_says_why_it_is_not_here():
    registry = load_registry()
    for name in ("arb-edsr", "bicubic+arb-edsr"):
        with pytest.raises(UnavailableError, match=r"neither code nor weights .* bicubic\+arb-rcan"):
            registry.method(name)
    assert any(rule.form == "arb-edsr" for rule in registry.rules)


def test_listing_imports_no_torch():
    code = (
        "import sys, rescale_bench_plugins.arbsr as p; list(p.rescale_bench_methods());"
        "list(p.rescale_bench_method_rules()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

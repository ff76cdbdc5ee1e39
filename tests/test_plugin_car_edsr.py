"""CAR+EDSR against arrays recorded from the published implementation, and its own promises."""

import math
from decimal import Decimal

import numpy as np
import pytest
import torch
from rescale_bench_plugins import car_edsr
from rescale_bench_plugins.car_edsr.kernels import KernelLayout, KernelNetwork, Resampling, initial_kernels
from rescale_bench_plugins.car_edsr.sampler import resample
from rescale_bench_plugins.car_edsr.training import quantise_softly, soft_round

from rescale_bench.api.records import State
from rescale_bench.errors import NotNativeError, WeightsError
from rescale_bench.networks.edsr import EdsrLayout, initial_edsr

(METHOD,) = car_edsr.rescale_bench_methods()


@pytest.fixture
def load_case(parity_root, monkeypatch):
    monkeypatch.syspath_prepend(str(parity_root))
    from fill import load_case

    def load(name):
        case, state, arrays = load_case(parity_root / name)
        tensors = {key: torch.from_numpy(np.asarray(value)) for key, value in state.items()}
        return case, tensors, {key: torch.from_numpy(value)[None] for key, value in arrays.items()}

    return load


def narrow(scale, seed=0):
    layout = KernelLayout(scale, early=4, middle=6, width=8, blocks=5)
    return State(initial_kernels(layout, seed)), State(initial_edsr(EdsrLayout(2, 8, scale), seed))


def build(*scales):
    states = {}
    for scale in scales:
        states[f"kgn-x{scale}"], states[f"usn-x{scale}"] = narrow(scale)
    return METHOD.build(states, "cpu", {})


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("scale", [2, 4])
def test_equals_the_published_implementation(load_case, scale):
    _, tensors, arrays = load_case(f"car_x{scale}")
    usn = State(initial_edsr(EdsrLayout(1, 8, scale), 0))
    rescaler = METHOD.build({f"kgn-x{scale}": State(tensors), f"usn-x{scale}": usn}, "cpu", {})
    hr = arrays["hr"] / 255
    with torch.inference_mode():
        by = rescaler.kernels(hr)
    for name in Resampling._fields:
        assert_close(getattr(by, name), arrays[name])
    assert_close(rescaler.downscale(hr, float(scale)), arrays["lr"])


@pytest.mark.parametrize("scale", [2, 4])
def test_the_restorer_is_edsr(load_case, scale):
    _, tensors, arrays = load_case(f"edsr_r16f64_x{scale}")
    rescaler = METHOD.build({f"kgn-x{scale}": narrow(scale)[0], f"usn-x{scale}": State(tensors)}, "cpu", {})
    assert_close(rescaler.upscale(arrays["lr"] / 255, float(scale), tuple(arrays["out"].shape[-2:])), arrays["out"])


def test_parameter_counts(load_case):
    for scale in (2, 4):
        _, published, _ = load_case(f"car_x{scale}")
        with torch.device("meta"):
            network = KernelNetwork(KernelLayout(scale))
        assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in published.items()}
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count == METHOD.parameters[f"kgn-x{scale}"]
    edsr = {"usn-x2": 40_729_627, "usn-x4": 43_089_947}
    assert METHOD.parameters == {"kgn-x2": 10_645_663, "kgn-x4": 9_896_455, **edsr}
    states = {part: METHOD.initial(part, 0) for part in METHOD.parts(Decimal(4))}
    assert METHOD.build(states, "cpu", {}).parameter_count == 9_896_455 + 43_089_947


def naive(hr, by, scale):
    """Follow Eq. 1-3 and the border rule pixel by pixel and tap by tap."""
    side = 3 * scale + 1
    pad = side // 2
    padded = np.pad(hr[0].numpy().astype(np.float64), ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    height, width = padded.shape[1:]
    kernels, move_h, move_v = (field[0].numpy().astype(np.float64) for field in by)
    lr = np.zeros((3, *kernels.shape[1:]))
    for y, x in np.ndindex(lr.shape[1:]):
        for tap in range(side**2):
            py = (y + 0.5) * scale - 0.5 + tap // side + scale * move_v[tap, y, x]
            px = (x + 0.5) * scale - 0.5 + tap % side + scale * move_h[tap, y, x]
            v, u = py - math.floor(py), px - math.floor(px)
            top, left = min(max(math.floor(py), 0), height - 1), min(max(math.floor(px), 0), width - 1)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = (1 - u) * padded[:, top, left] + u * padded[:, top, right]
            lower = (1 - u) * padded[:, bottom, left] + u * padded[:, bottom, right]
            lr[:, y, x] += kernels[tap, y, x] * ((1 - v) * upper + v * lower)
    return torch.from_numpy(lr)[None].float()


def fields(scale, size, reach=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    kernels, move_h, move_v = (torch.rand(1, (3 * scale + 1) ** 2, *size, generator=generator) for _ in range(3))
    return Resampling(kernels / kernels.sum(1, keepdim=True), (move_h * 2 - 1) * reach, (move_v * 2 - 1) * reach)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_sampler_equals_a_loop(scale):
    # Reaching beyond ±1 leaves the padded image on every side, which proves the border rule.
    by, hr = (
        fields(scale, (3, 5), reach=3.0),
        torch.rand(1, 3, 3 * scale + 8, 5 * scale + 8)[..., : 3 * scale, : 5 * scale],
    )
    if scale == 2:
        by, hr = fields(2, (4, 5), reach=3.0), torch.rand(1, 3, 8, 10)
    expected = naive(hr, by, scale)
    with torch.no_grad():
        assert torch.allclose(resample(hr, by, scale), expected, atol=2e-6)
    assert torch.allclose(resample(hr, by, scale), expected, atol=2e-6)


def test_strips_equal_the_whole(monkeypatch):
    from rescale_bench_plugins.car_edsr import sampler

    by, hr = fields(4, (12, 10)), torch.rand(1, 3, 48, 40)
    whole = resample(hr, by, 4)
    monkeypatch.setattr(sampler, "STRIP_TAPS", 5 * 10 * 169)
    with torch.no_grad():
        assert torch.equal(resample(hr, by, 4), whole)


def test_gradients_flow_also_at_zero_offsets():
    hr = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    for reach in (0.0, 0.7):
        start = fields(2, (8, 12), reach)
        by = Resampling(*(field.double().expand(2, -1, -1, -1).clone().requires_grad_() for field in start))
        loss = (resample(hr, by, 2) ** 2).sum()
        loss.backward()
        for field in by:
            assert field.grad.isfinite().all()
            assert field.grad.abs().max() > 0
        # A small step away from whole positions changes the loss as the gradient says.
        step = 1e-6
        moved = [field.detach() + step * field.grad for field in by]
        change = float((resample(hr, Resampling(*moved), 2) ** 2).sum() - loss.detach()) / step
        assert change == pytest.approx(float(sum((field.grad**2).sum() for field in by)), rel=1e-2)


def test_the_whole_chain_trains():
    network = KernelNetwork(KernelLayout(2, 4, 6, 8, 1))
    hr = torch.rand(1, 3, 32, 24)
    quantise_softly(resample(hr, network(hr), 2)).square().mean().backward()
    for key, value in network.named_parameters():
        assert value.grad is None if key.startswith("sub_mean") else value.grad.isfinite().all(), key


def test_soft_rounding():
    x = torch.linspace(-3, 3, 601, dtype=torch.float64, requires_grad=True)
    soft = soft_round(x, 0.75)
    assert torch.allclose(soft, x - 0.75 * torch.sin(2 * torch.pi * x) / (2 * torch.pi))
    assert torch.allclose(soft_round(x, 1.0)[::100], x[::100].round())
    image = torch.rand(50, dtype=torch.float64, requires_grad=True)
    rounded = quantise_softly(image, 0.75)
    assert torch.allclose(rounded, (image * 255).round() / 255)
    rounded.sum().backward()
    assert torch.allclose(image.grad, 1 - 0.75 * torch.cos(2 * torch.pi * 255 * image.detach()))


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(45, 62), (97, 131), (8, 8), (5, 40)])
def test_odd_and_small_sizes_round_trip(scale, size):
    rescaler = build(scale)
    hr = torch.rand(1, 3, *size)
    lr = rescaler.downscale(hr, float(scale))
    assert lr.shape == (1, 3, *(-(-side // scale) for side in size))
    assert torch.equal(lr, rescaler.downscale(hr, float(scale)))
    back = rescaler.upscale(lr, float(scale), size)
    assert back.shape == hr.shape
    assert back.isfinite().all()


def test_a_tile_with_its_margin_equals_the_whole():
    rescaler = build(2)
    hr = torch.rand(1, 3, 64, 320)
    whole, tile = rescaler.downscale(hr, 2.0), rescaler.downscale(hr[..., 96:], 2.0)
    # The resampler sees 88 HR pixels far, EDSR 68 LR pixels.
    assert torch.allclose(whole[..., 92:], tile[..., 44:], atol=1e-6)
    assert METHOD.margin == EdsrLayout(32, 256, 4).halo >= 88 / 2


def test_several_scales_at_once():
    rescaler = build(2, 4)
    assert rescaler.downscale(torch.rand(1, 3, 32, 32), 4.0).shape == (1, 3, 8, 8)
    with pytest.raises(NotNativeError):
        rescaler.downscale(torch.rand(1, 3, 32, 32), 3.0)
    with pytest.raises(NotNativeError):
        build(2).upscale(torch.rand(1, 3, 8, 8), 4.0, (32, 32))


def test_wrong_weights_are_named():
    kgn, usn = narrow(2)
    with pytest.raises(WeightsError, match="kgn-x2 are missing"):
        METHOD.build({"usn-x2": usn}, "cpu", {})
    with pytest.raises(WeightsError, match="usn-x2: these weights are for scale 4"):
        METHOD.build({"kgn-x2": kgn, "usn-x2": narrow(4)[1]}, "cpu", {})
    with pytest.raises(WeightsError, match="kgn-x4: these weights are for scale 2"):
        METHOD.build({"kgn-x4": kgn, "usn-x4": narrow(4)[1]}, "cpu", {})
    with pytest.raises(WeightsError, match=r"no tensor 'ds_1\.1\.weight'"):
        METHOD.build({"kgn-x2": usn, "usn-x2": usn}, "cpu", {})
    short = {key: value for key, value in kgn.tensors.items() if key != "res_4.2.transform.4.bias"}
    with pytest.raises(WeightsError, match=r"kgn-x2.*missing: res_4.2.transform.4.bias"):
        METHOD.build({"kgn-x2": State(short), "usn-x2": usn}, "cpu", {})
    taps = dict(kgn.tensors) | {"kernels_weight.4.weight": torch.zeros(36, 8, 3, 3)}
    with pytest.raises(WeightsError, match="kernels of 36 taps"):
        METHOD.build({"kgn-x2": State(taps), "usn-x2": usn}, "cpu", {})

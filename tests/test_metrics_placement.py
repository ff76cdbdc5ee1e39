"""Metrics that take tensors of any device, on the stand-in for CUDA."""

import dataclasses

import numpy as np
import pytest
import torch
from accelerator import DEVICE, Resident, standing_in
from test_metrics_fidelity import METRICS, PROTOCOL, pair, sample
from test_metrics_lpips import LPIPS, alexnet, images, weights  # noqa: F401  # two fixtures

from rescale_bench.api.registry import load_registry
from rescale_bench.images.color import FORMULAS, luma
from rescale_bench.metrics import similarity
from rescale_bench.metrics.lpips import network
from rescale_bench.metrics.similarity import psnr, squared_error, ssim, ssim_planes

IMAGES = ("hr", "sr", "lr", "lr_reference", "lr_sent")


def unrounded(of):
    return dataclasses.replace(of, sr=of.sr.float() * 0.99 + 0.25, lr=of.lr.float() * 0.99 + 0.25)


def test_a_sample_moves_whole_and_forgets_what_was_computed():
    here = sample(file=b"file")
    METRICS["psnr_y"].measure(here, {})
    assert here.memo
    with standing_in():
        there = here.to("cuda")
        assert all(isinstance(getattr(there, name), Resident) for name in IMAGES)
        assert all(torch.equal(getattr(there, name).cpu(), getattr(here, name)) for name in IMAGES)
        assert there.memo == {}
        METRICS["psnr_y"].measure(there, {})
    assert not any(isinstance(plane, Resident) for planes in here.memo.values() for plane in planes)
    assert (there.file, there.scale, there.protocol, there.costs) == (b"file", here.scale, here.protocol, here.costs)
    assert dataclasses.replace(here, lr_sent=None).to("cpu").lr_sent is None


@pytest.mark.parametrize("rounded", [True, False])
@pytest.mark.parametrize("protocol", ["rgb8", "car", "aidn", "srcnn-y"])
def test_fidelity_equals_the_cpus(protocol, rounded):
    here = sample(protocol) if rounded else unrounded(sample(protocol))
    names = [name for name in METRICS if PROTOCOL[protocol].plane == "rgb" or "rgb" not in name]
    wanted = {name: METRICS[name].measure(here, {}) for name in names}
    with standing_in() as accelerator:
        there = here.to(DEVICE)
        found = {}
        for name in names:
            accelerator.reads, accelerator.downloads = 0, []
            found[name] = METRICS[name].measure(there, {})
            # One number for PSNR; for SSIM the sums of the rows of all planes at once.
            assert (accelerator.reads, len(accelerator.downloads)) == ((1, 0) if "psnr" in name else (0, 1))
    for name in names:
        assert found[name] == pytest.approx(wanted[name], abs=1e-12), name
    if rounded and "psnr_rgb" in names:
        assert found["psnr_rgb"] == wanted["psnr_rgb"]


def test_which_metrics_take_any_device():
    registry = load_registry()
    found = {name for name, metric in registry.metrics.items() if getattr(metric, "on_device", False)}
    assert found == {*METRICS, "lpips_alex", "lpips_vgg"}


def test_8_bit_errors_are_exact_beyond_32_bits():
    black, white = torch.zeros(3, 200, 200, dtype=torch.uint8), torch.full((3, 200, 200), 255, dtype=torch.uint8)
    a, b = pair(3, 201, 203)
    with standing_in():
        assert squared_error(black.to(DEVICE), white.to(DEVICE)) == 255**2 * 120_000 > 2**32
        assert psnr(a.to(DEVICE), b.to(DEVICE)) == psnr(a, b)
        assert psnr(a.to(DEVICE), a.to(DEVICE)) == np.inf
        floats = a.double() + 0.1, b.double() * 0.9
        assert psnr(*(x.to(DEVICE) for x in floats)) == pytest.approx(psnr(*floats), abs=1e-12)
        mixed = a, b.float() + 0.5
        assert psnr(*(x.to(DEVICE) for x in mixed)) == pytest.approx(psnr(*mixed), abs=1e-12)


@pytest.mark.parametrize("edges", ["valid", "symmetric"])
@pytest.mark.parametrize("shape", [(11, 11), (27, 26), (139, 90), (200, 333)])
def test_ssim_equals_the_cpus(shape, edges, monkeypatch):
    a, b = pair(*shape)
    wanted = ssim(a, b, edges=edges)
    quick = ssim(a, b, edges=edges, dtype=torch.float32)
    with standing_in() as accelerator:
        there = a.to(DEVICE), b.to(DEVICE)
        assert ssim(*there, edges=edges) == pytest.approx(wanted, abs=1e-12)
        assert ssim(*there, edges=edges, dtype=torch.float32) == pytest.approx(quick, abs=1e-6)
        # Little memory: as many strips as the CPU has, and still one transfer.
        monkeypatch.setattr(similarity, "DEVICE_BYTES", 0)
        accelerator.downloads = []
        assert ssim(*there, edges=edges) == pytest.approx(wanted, abs=1e-12)
        assert len(accelerator.downloads) == 1
        views = there[0].t()[2:], there[1].t()[2:]
        if min(shape) > 13:
            assert ssim(*views) == pytest.approx(ssim(a.t()[2:], b.t()[2:]), abs=1e-12)


def test_ssim_is_the_same_in_strips_of_any_height(monkeypatch):
    a, b = pair(3, 300, 100)
    planes = list(zip(a.unbind(), b.unbind(), strict=True))
    wanted = ssim_planes(planes)
    # All at once, in three strips as memory allows, and in the smallest ones.
    for room in (similarity.DEVICE_BYTES, 100 * 15 * 8 * 130, 0):
        monkeypatch.setattr(similarity, "DEVICE_BYTES", room)
        with standing_in():
            found = ssim_planes([(x.to(DEVICE), y.to(DEVICE)) for x, y in planes])
        assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("which", FORMULAS)
def test_luma_equals_the_cpus(which):
    image, _ = pair(3, 20, 30)
    with standing_in():
        for picture in (image, image.float() * 0.9, image.double() + 0.1):
            found, wanted = luma(picture.to(DEVICE), which).cpu(), luma(picture, which)
            assert (found - wanted).abs().max() < 1e-12


def test_rounded_luma_is_that_of_the_cpu_for_every_colour_on_the_edge():
    red, green, blue = torch.meshgrid(*[torch.arange(256)] * 3, indexing="ij")
    (r, g, b), divisor, _ = FORMULAS["bt601-rounded"]
    edge = (red * r + green * g + blue * b) % divisor == divisor // 2
    colours = torch.stack((red, green, blue))[:, edge].to(torch.uint8)[:, None]
    assert colours.shape[2] > 100
    with standing_in():
        assert torch.equal(luma(colours.to(DEVICE), "bt601-rounded").cpu(), luma(colours, "bt601-rounded"))


def test_lpips_equals_the_cpus_and_keeps_a_model_for_each_device(alexnet):  # noqa: F811
    hr, sr = images()
    here = sample(hr=hr, sr=sr)
    wanted = LPIPS.measure(here, {})
    on_cpu = network(alexnet)
    with standing_in() as accelerator:
        there = here.to("cuda")
        assert [LPIPS.measure(there, {}) for _ in range(2)] == pytest.approx([wanted] * 2, abs=1e-6)
        assert (accelerator.reads, accelerator.downloads) == (2, [])
        assert network(alexnet, "alex", "cuda") is network(alexnet, "alex", "cuda")
        assert network(alexnet, "alex", "cuda") is not on_cpu
        assert LPIPS.measure(here, {}) == wanted
    assert network(alexnet) is on_cpu

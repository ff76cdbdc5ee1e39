import dataclasses
import math
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rescale_bench.api.records import Costs, Sample
from rescale_bench.errors import UndefinedValueError, UsageError
from rescale_bench.images.color import luma
from rescale_bench.metrics import fidelity
from rescale_bench.metrics.similarity import psnr, ssim
from rescale_bench.protocols.named import PROTOCOLS

METRICS = {metric.name: metric for metric in fidelity.rescale_bench_metrics()}
PROTOCOL = {protocol.name: protocol for protocol in PROTOCOLS}


def pair(*shape, seed=0, spread=12):
    """Make a smooth 8-bit image and a noisy copy of it."""
    rng = np.random.default_rng(seed)
    image = np.cumsum(np.cumsum(rng.normal(size=shape), -1), -2)
    image = (image - image.min()) / np.ptp(image) * 255
    other = image + rng.normal(size=shape) * spread
    return tuple(torch.from_numpy(np.clip(np.rint(x), 0, 255).astype(np.uint8)) for x in (image, other))


def oracle_ssim(a, b):
    return structural_similarity(
        np.asarray(a), np.asarray(b), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )


def oracle_psnr(a, b):
    return peak_signal_noise_ratio(np.asarray(a), np.asarray(b), data_range=255)


@pytest.mark.parametrize("shape", [(11, 11), (11, 40), (27, 26), (75, 74), (139, 90), (200, 333)])
def test_ssim_equals_scikit_image(shape):
    a, b = pair(*shape)
    expected = oracle_ssim(a, b)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    assert ssim(a, b, dtype=torch.float32) == pytest.approx(expected, abs=1e-6)
    assert ssim(a.double() / 255, b.double() / 255, data_range=1) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_float_images_and_of_many_planes():
    a, b = (x.double() * 0.9 + 0.123 for x in pair(2, 3, 90, 61))
    planes = [oracle_ssim(a[i, c], b[i, c]) for i in range(2) for c in range(3)]
    assert ssim(a, b) == pytest.approx(np.mean(planes), abs=1e-9)


def test_ssim_of_transposed_and_sliced_images():
    a, b = pair(80, 120)
    assert ssim(a.t(), b.t()) == pytest.approx(oracle_ssim(a.t(), b.t()), abs=1e-9)
    assert ssim(a[3:-4, 5:-6], b[3:-4, 5:-6]) == pytest.approx(oracle_ssim(a[3:-4, 5:-6], b[3:-4, 5:-6]), abs=1e-9)


@pytest.mark.parametrize("shape", [(11, 11), (70, 53), (150, 40)])
def test_ssim_with_symmetric_edges(shape):
    a, b = (x.numpy().astype(np.float64) for x in pair(*shape))

    def blur(x):
        return gaussian_filter(x, 1.5, mode="reflect", truncate=3.5)

    ma, mb = blur(a), blur(b)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * ma * mb + c1) * (2 * (blur(a * b) - ma * mb) + c2)
    expected = numerator / ((ma**2 + mb**2 + c1) * (blur(a * a) - ma**2 + blur(b * b) - mb**2 + c2))
    assert ssim(torch.from_numpy(a), torch.from_numpy(b), edges="symmetric") == pytest.approx(expected.mean(), abs=1e-9)


def test_values_do_not_depend_on_the_number_of_threads():
    a, b = (x.double() + 0.1 for x in pair(300, 290))
    before = torch.get_num_threads()
    values = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        values.append((psnr(a, b), ssim(a, b), ssim(a, b, edges="symmetric")))
    torch.set_num_threads(before)
    assert values[0] == values[1] == values[2]


def test_ssim_of_equal_images_is_one():
    a, _ = pair(40, 40)
    assert ssim(a, a) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("shape", [(10, 50), (50, 10)])
def test_ssim_of_small_images_is_undefined(shape):
    with pytest.raises(UndefinedValueError, match="11×11"):
        ssim(*pair(*shape))


def test_psnr_equals_scikit_image_and_is_exact():
    a, b = pair(3, 301, 307)
    assert psnr(a, b) == pytest.approx(oracle_psnr(a, b), abs=1e-12)
    assert psnr(a.float(), b) == pytest.approx(psnr(a, b), abs=1e-12)
    one = a.clone()
    one[0, 0, 0] ^= 1
    assert psnr(a, one) == 10 * math.log10(255**2 * a.numel())
    black, white = torch.zeros(3, 500, 500, dtype=torch.uint8), torch.full((3, 500, 500), 255, dtype=torch.uint8)
    assert psnr(black, white) == 0
    assert psnr(black / 255, white / 255, peak=1) == 0


def test_psnr_of_equal_images_is_infinite():
    a, _ = pair(20, 20)
    assert psnr(a, a) == math.inf


def test_shapes_must_agree():
    a, b = pair(20, 21)
    for function in (psnr, ssim):
        with pytest.raises(UsageError, match="one shape"):
            function(a, b[1:])


def sample(protocol="rgb8", scale="2", **changes):
    channels = 1 if PROTOCOL[protocol].plane == "y" else 3
    hr, sr = pair(channels, 84, 110, seed=1)
    lr, reference = pair(channels, 42, 55, seed=2, spread=3)
    made = Sample(hr, sr, lr, reference, lr, b"", Decimal(scale), PROTOCOL[protocol], Costs(1, 1))
    return dataclasses.replace(made, **changes)


def measure(name, of):
    return METRICS[name].measure(of, {})


@pytest.mark.parametrize(("scale", "border"), [("2", 2), ("2.3", 3), ("4", 4)])
@pytest.mark.parametrize("which", ["rgb8", "aidn"])
def test_metrics_of_rgb_protocols(which, scale, border):
    s = sample(which, scale)
    if which == "aidn":
        s = dataclasses.replace(s, sr=s.sr.float() * 0.99 + 0.25, lr=s.lr.float() * 0.99 + 0.25)
    hr, sr = s.hr[:, border:-border, border:-border].double(), s.sr[:, border:-border, border:-border].double()
    assert measure("psnr_rgb", s) == pytest.approx(oracle_psnr(hr, sr), abs=1e-9)
    channels = [oracle_ssim(a, b) for a, b in zip(hr, sr, strict=True)]
    assert measure("ssim_rgb", s) == pytest.approx(np.mean(channels), abs=1e-9)
    assert measure("psnr_y", s) == pytest.approx(oracle_psnr(luma(hr), luma(sr)), abs=1e-9)
    assert measure("ssim_y", s) == pytest.approx(oracle_ssim(luma(hr), luma(sr)), abs=1e-9)
    cut = slice(border, -border) if which == "aidn" else slice(None)
    lr, reference = (luma(x.double())[cut, cut] for x in (s.lr, s.lr_reference))
    assert measure("psnr_lr", s) == pytest.approx(oracle_psnr(reference, lr), abs=1e-9)
    assert measure("ssim_lr", s) == pytest.approx(oracle_ssim(reference, lr), abs=1e-9)


def test_car_has_its_own_luma_and_edges():
    s = sample("car")
    hr, sr = (luma(x[:, 2:-2, 2:-2], "car") for x in (s.hr, s.sr))
    assert measure("psnr_y", s) == pytest.approx(psnr(hr, sr), abs=1e-12)
    assert measure("ssim_y", s) == pytest.approx(ssim(hr, sr, edges="symmetric"), abs=1e-12)
    assert abs(measure("ssim_y", s) - ssim(hr, sr)) > 1e-6


def test_a_y_protocol_takes_its_plane_as_it_is():
    s = sample("srcnn-y", lr=pair(1, 42, 55, seed=5)[0].float() + 0.3)
    assert measure("psnr_y", s) == pytest.approx(oracle_psnr(s.hr[0, 2:-2, 2:-2], s.sr[0, 2:-2, 2:-2]), abs=1e-12)
    assert measure("ssim_y", s) == pytest.approx(oracle_ssim(s.hr[0, 2:-2, 2:-2], s.sr[0, 2:-2, 2:-2]), abs=1e-9)
    assert measure("psnr_lr", s) == pytest.approx(oracle_psnr(s.lr_reference[0].double(), s.lr[0].double()), abs=1e-9)
    for name in ("psnr_rgb", "ssim_rgb"):
        with pytest.raises(UndefinedValueError, match="srcnn-y"):
            measure(name, s)


def test_a_grey_lr_has_no_likeness_to_the_bicubic_one():
    s = sample(lr=pair(1, 42, 55)[0])
    for name in ("psnr_lr", "ssim_lr"):
        with pytest.raises(UndefinedValueError, match="grey"):
            measure(name, s)
    assert measure("psnr_y", s) > 0


def test_small_images_are_undefined():
    hr, sr = pair(3, 14, 40)
    s = sample(hr=hr, sr=sr)
    assert measure("psnr_y", s) > 0
    for name in ("ssim_y", "ssim_rgb"):
        with pytest.raises(UndefinedValueError, match="36×10"):
            measure(name, s)
    tiny = sample(hr=hr[:, :4], sr=sr[:, :4])
    for name in ("psnr_y", "psnr_rgb"):
        with pytest.raises(UndefinedValueError, match="border of 2"):
            measure(name, tiny)


def test_luma_is_computed_once_per_sample(monkeypatch):
    calls = []

    def counting(*arguments):
        calls.append(arguments)
        return luma(*arguments)

    monkeypatch.setattr("rescale_bench.images.color.luma", counting)
    s = sample()
    for name in METRICS:
        measure(name, s)
    assert len(calls) == 4


def test_records():
    assert list(METRICS) == ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "psnr_lr", "ssim_lr"]
    for name, metric in METRICS.items():
        assert (metric.unit == "dB") == name.startswith("psnr")
        assert metric.judges == ("lr" if name.endswith("_lr") else "hr")
        assert metric.requires() == []


def test_listing_the_metrics_imports_no_torch():
    code = "import sys; from rescale_bench.metrics import fidelity; list(fidelity.rescale_bench_metrics()); " + (
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Downscalers without weights against recorded arrays, written-out rules and published bits."""

import math
import time
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image
from rescale_bench_plugins.downscalers.filters import area, coverage, dpid, perceptual, smooth

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import lr_size
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import MethodError, UsageError
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table

SCALES = ["1.5", "2", "2.5", "3", "4"]


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture(scope="module")
def cases(parity_root):
    with np.load(parity_root / "classic_downscalers.npz") as arrays:
        return dict(arrays)


def shrink(registry, name, pixels, scale):
    """Shrink uint8 (H, W, 3) as a run does, to float64 levels (h, w, 3)."""
    chosen = registry.choose_method(
        parse_spec(f"{name[0]}+bicubic:{name[1]}" if name[1] else f"{name[0]}+bicubic", "-m")
    )
    hr = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].float() / 255
    lr = chosen.record.build({}, "cpu", chosen.options).downscale(hr, float(scale))
    return lr[0].permute(1, 2, 0).numpy() * 255


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("image", ["butterfly", "baby"])
def test_equal_the_recorded_arrays(registry, cases, image, scale):
    hr = cases[f"{image}_hr"]
    for text, options in (("l0.5", ""), ("l1", "lambda=1")):
        found = shrink(registry, ("dpid", options), hr, scale)
        np.testing.assert_array_equal(np.rint(found), cases[f"{image}_dpid_{text}_x{scale}"])
        assert np.abs(found - np.rint(found)).max() < 1e-9
    found = shrink(registry, ("perceptual", ""), hr, scale) / 255
    np.testing.assert_allclose(found, cases[f"{image}_perceptual_x{scale}"], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("side", "out"), [(7, 5), (12, 6), (75, 38), (5, 5), (3, 2), (100, 91), (9, 1)])
def test_coverage_is_that_of_the_axis_repeated_out_times(side, out):
    """On an axis where each pixel is repeated `out` times, a patch is `side` whole pixels."""
    matrix = np.zeros((out, side))
    for pixel, part in coverage(side, out, torch.device("cpu")):
        matrix[np.arange(out), pixel.numpy()] += part.numpy()
    owner = np.repeat(np.arange(side), out).reshape(out, side)
    expected = np.stack([np.bincount(row, minlength=side) for row in owner]) / out
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [(45, 62), (61, 75), (16, 16)])
@pytest.mark.parametrize("scale", ["1.1", "2", "3.7", "15"])
def test_area_is_the_mean_of_the_image_repeated_to_a_common_grid(size, scale):
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    low = lr_size(size, float(scale))
    rows = np.repeat(image[0].numpy(), low[0], axis=1).reshape(3, low[0], size[0], size[1]).mean(2)
    expected = np.repeat(rows, low[1], axis=2).reshape(3, low[0], low[1], size[1]).mean(3)
    np.testing.assert_allclose(area(image, low)[0], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_area_equals_pillows_reduce(registry, cases, scale):
    hr = cases["baby_hr"][: 61 // scale * scale, : 75 // scale * scale]
    planes = [Image.fromarray(hr[..., channel].astype(np.float32)).reduce(scale) for channel in range(3)]
    np.testing.assert_allclose(shrink(registry, ("area", ""), hr, scale), np.stack(planes, -1), rtol=0, atol=1e-4)


def dpid_written_out(image, size, exponent):
    """DPID one LR pixel at a time (Weber et al., sec. 3), truncating as the authors' program does."""
    (height, width, _), (h, w) = image.shape, size

    def patch(i, j):
        top, left, down, right = i * height / h, j * width / w, (i + 1) * height / h, (j + 1) * width / w
        for y in range(int(top), min(height, math.ceil(down - 1e-9))):
            for x in range(int(left), min(width, math.ceil(right - 1e-9))):
                part = (min(y + 1, down) - max(y, top)) * (min(x + 1, right) - max(x, left))
                yield part, image[y, x].astype(float)

    guide = np.zeros((h, w, 3))
    for i in range(h):
        for j in range(w):
            parts = list(patch(i, j))
            guide[i, j] = np.floor(sum(part * pixel for part, pixel in parts) / sum(part for part, _ in parts) + 1e-9)
    result = np.zeros((h, w, 3))
    for i in range(h):
        for j in range(w):
            near = [(y, x) for y in (i - 1, i, i + 1) for x in (j - 1, j, j + 1) if 0 <= y < h and 0 <= x < w]
            kernel = [(2 - abs(y - i)) * (2 - abs(x - j)) for y, x in near]
            smoothed = sum(k * guide[place] for k, place in zip(kernel, near, strict=True)) / sum(kernel)
            weighted = [
                (part * (np.linalg.norm(smoothed - pixel) / (255 * 3**0.5)) ** exponent, pixel)
                for part, pixel in patch(i, j)
            ]
            total = sum(weight for weight, _ in weighted)
            mean = sum(weight * pixel for weight, pixel in weighted) / total if total else smoothed
            result[i, j] = np.floor(mean + 1e-9)
    return result


@pytest.mark.parametrize(("scale", "exponent"), [("1.7", 0.5), ("3.3", 1.0), ("2", 2.0), ("2.2", 0.0)])
def test_dpid_is_the_paper_written_out(cases, scale, exponent):
    image = cases["butterfly_hr"][:31, :27]
    size = lr_size(image.shape[:2], float(scale))
    levels = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float64))[None]
    found = dpid(levels, size, exponent, "truncate")[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, dpid_written_out(image, size, exponent), rtol=0, atol=1e-9)


def test_dpid_with_lambda_0_is_the_truncated_area(registry, cases):
    hr = cases["baby_hr"]
    expected = shrink(registry, ("area", ""), hr, "2.5")
    found = shrink(registry, ("dpid", "lambda=0"), hr, "2.5")
    np.testing.assert_allclose(found, np.floor(expected + 1e-9), rtol=0, atol=1e-9)
    rounded = shrink(registry, ("dpid", "lambda=0,rounding=round"), hr, "2.5")
    np.testing.assert_allclose(rounded, np.floor(expected + 0.5 + 1e-9), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["area", "dpid", "perceptual"])
@pytest.mark.parametrize("scale", ["1.3", "2", "3.7", "64"])
def test_flat_images_stay(registry, name, scale):
    flat = np.full((70, 90, 3), (7, 100, 254), np.uint8)
    assert np.abs(shrink(registry, (name, ""), flat, scale) - flat[0, 0]).max() < 1e-9


def test_smoothing_takes_the_neighbours_inside():
    image = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    image[..., 0, 0] = 9
    expected = torch.tensor([[4.0, 1.5, 0], [1.5, 0.5625, 0], [0, 0, 0]], dtype=torch.float64)
    assert torch.allclose(smooth(image)[0, 0], expected)
    assert torch.equal(smooth(image[..., :1, :1]), image[..., :1, :1])


def test_perceptual_raises_the_contrast_of_windows_to_that_of_the_hr():
    """A pattern of ±c around 1/2 that the mean halves comes back with its own variance where LR has any."""
    rng = np.random.default_rng(1)
    hr = torch.from_numpy(rng.random((1, 3, 40, 40))) * 255
    low, found = area(hr, (10, 10)), perceptual(hr, (10, 10), 2)
    assert (found.std() / low.std()) > 2
    assert abs(float(found.mean() - low.mean())) < 10
    whole = perceptual(hr, (2, 2), 2)  # one window: its mean and the HR's variance are met exactly
    torch.testing.assert_close(whole.mean((-2, -1)), hr.mean((-2, -1)))
    torch.testing.assert_close(whole.var((-2, -1), unbiased=False), hr.var((-2, -1), unbiased=False))


def test_only_halves(registry):
    with pytest.raises(UsageError, match="dpid has no upscaler"):
        registry.choose_method(parse_spec("dpid", "-m"))
    chosen = registry.choose_method(parse_spec("dpid+bicubic", "-m"))
    half = registry.method("dpid").build({}, "cpu", chosen.options)
    with pytest.raises(MethodError, match="only shrinks"):
        half.upscale(torch.rand(1, 3, 8, 8), 2.0, (16, 16))
    for text in ("dpid+bicubic:lambda=-1", "dpid+bicubic:rounding=up", "perceptual+bicubic:window=1"):
        with pytest.raises(UsageError, match=text.partition("=")[0].partition(":")[2]):
            registry.choose_method(parse_spec(text, "-m"), "-m")


def test_dpid_is_quick():
    hr = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 512, 768)).astype(np.float64))
    seconds = []
    for _ in range(5):
        start = time.process_time()
        dpid(hr, (256, 384), 0.5, "truncate")
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2


def test_cars_table_5_on_set5(data_root, registry, tmp_path):
    asked = {"methods": "dpid+bicubic", "datasets": "Set5", "scales": "2,4", "metrics": "bpp_lr_jp2,psnr_y"}
    request = Request(output=tmp_path, threads=1, protocol="car", **asked)
    assert execute(request, registry, ["test"]).exit_code == 0
    frame = read_table(tmp_path)
    found = frame.groupby(["scale", "metric"])["value"].agg(fmean)
    assert found["2", "bpp_lr_jp2"] == pytest.approx(12.65, abs=0.06)
    assert found["4", "bpp_lr_jp2"] == pytest.approx(15.32, abs=0.06)
    assert found["2", "psnr_y"] == pytest.approx(33.987, abs=1e-3)

import dataclasses
import math
import shutil
import socket

import numpy as np
import pytest
import torch
from lr_images import all_lr, bicubic_lr, sample_of
from scipy.io import loadmat
from scipy.ndimage import correlate1d
from scipy.special import gamma

from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics.niqe import NIQE_PRISTINE, niqe, rescale_bench_metrics

METRICS = {metric.name: metric for metric in rescale_bench_metrics()}


@pytest.fixture
def pristine(parity_root, tmp_path, monkeypatch):
    """Put the release parameters where torch's home is, and cut the network off."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = parity_root.parent / "iqa" / "niqe_modelparameters.mat"
    NIQE_PRISTINE.location.parent.mkdir(parents=True)
    shutil.copy(source, NIQE_PRISTINE.location)

    def refuse(*arguments, **names):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return source


def tensor(pixels):
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).contiguous()


def noise(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_bicubic_lr_of_bsd100(data_root, pristine):
    # spec/metrics.md: 6.15 with the release parameters, where the published table has 5.28.
    values = [METRICS["niqe_lr"].measure(sample_of(lr), {}) for lr in all_lr(data_root / "BSD100", 2)]
    assert len(values) == 100
    assert np.mean(values) == pytest.approx(6.15, abs=0.005)


def test_equals_a_separate_calculation(data_root, pristine):
    for name in ("baboon", "zebra"):
        lr = bicubic_lr(data_root / "Set14" / f"{name}.png", 2)
        assert niqe(tensor(lr)) == pytest.approx(reference_niqe(lr, pristine), rel=1e-3)


def test_difference_to_the_bicubic_lr(data_root, pristine):
    lr = bicubic_lr(data_root / "Set14" / "zebra.png", 2)
    sample = sample_of(lr)
    assert METRICS["niqe_lr_diff"].measure(sample, {}) == 0
    rough = np.clip(lr.astype(int) + np.random.default_rng(0).integers(-40, 41, lr.shape), 0, 255).astype(np.uint8)
    changed = dataclasses.replace(sample, lr=tensor(rough), memo={})
    assert METRICS["niqe_lr_diff"].measure(changed, {}) == pytest.approx(niqe(tensor(rough)) - niqe(tensor(lr)))
    assert METRICS["niqe_lr_diff"].measure(changed, {}) > 1


@pytest.mark.parametrize(("size", "count"), [((95, 400), 0), ((191, 191), 1), ((96, 192), 2), ((300, 500), 15)])
def test_blocks(size, count):
    assert METRICS["niqe_blocks"].measure(sample_of(noise(*size)), {}) == count


@pytest.mark.parametrize(("size", "count"), [((95, 400), 0), ((191, 191), 1)])
def test_undefined_below_two_blocks(pristine, size, count):
    for name in ("niqe_lr", "niqe_lr_diff"):
        with pytest.raises(UndefinedValueError, match=f"has {count}"):
            METRICS[name].measure(sample_of(noise(*size)), {})


def test_undefined_for_other_images(pristine):
    with pytest.raises(UndefinedValueError, match="8-bit"):
        niqe(torch.zeros(3, 192, 192))
    with pytest.raises(UndefinedValueError, match="RGB"):
        niqe(torch.zeros(1, 192, 192, dtype=torch.uint8))


@pytest.mark.parametrize("textured", [0, 1])
def test_undefined_where_too_few_blocks_have_texture(pristine, textured):
    image = torch.full((3, 96, 288), 90, dtype=torch.uint8)
    if textured:  # away from the next block, into which the filter would reach
        image[:, 8:88, 8:88] = tensor(noise(80, 80))
    with pytest.raises(UndefinedValueError, match="fewer than 2 blocks have texture"):
        niqe(image)


def test_a_missing_file_is_told_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("niqe_lr", "niqe_lr_diff"):
        (problem,) = METRICS[name].problems()
        assert str(tmp_path / "hub" / "pyiqa" / "niqe_modelparameters.mat") in problem
        assert f"rescale-bench prepare --metrics {name}" in problem
    assert METRICS["niqe_blocks"].problems() == []


def test_nothing_is_missing_once_prepared(pristine):
    assert METRICS["niqe_lr"].problems() == []


def test_missing_packages_are_told(monkeypatch, pristine):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'rescale-bench[iqa]'" in METRICS["niqe_lr"].problems()[0]


# --- NIQE once more, from the paper, in numpy -------------------------------------


def reference_niqe(rgb, parameters):
    """Mittal et al. (IEEE SPL 2013), eqs. 1–10, on rounded (0.299, 0.587, 0.114)·RGB."""
    plane = np.round(rgb @ np.array([0.299, 0.587, 0.114]))
    rows, columns = plane.shape[0] // 96, plane.shape[1] // 96
    plane = plane[: rows * 96, : columns * 96]
    features = []
    for side in (96, 48):
        normal = local_contrast(plane)
        blocks = normal.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
        features.append([block_features(block) for block in blocks])
        plane = half(half(plane).T).T
    found = np.concatenate(features, axis=1)
    model = loadmat(parameters)
    mean = model["mu_prisparam"].ravel() - found.mean(axis=0)
    return math.sqrt(mean @ np.linalg.pinv((model["cov_prisparam"] + np.cov(found.T)) / 2) @ mean)


def local_contrast(plane):
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    taps /= taps.sum()

    def blur(image):
        return correlate1d(correlate1d(image, taps, axis=0, mode="nearest"), taps, axis=1, mode="nearest")

    mean = blur(plane)
    return (plane - mean) / (np.sqrt(np.abs(blur(plane**2) - mean**2)) + 1)


def half(plane):
    """Shrink the rows by two with MATLAB's antialiased bicubic."""
    t = np.abs(np.arange(-3.5, 4)) / 2
    taps = np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2)
    padded = np.pad(plane, ((3, 3), (0, 0)), mode="symmetric")
    return sum(tap / taps.sum() * padded[k : k + plane.shape[0] - 1 : 2] for k, tap in enumerate(taps))


GRID = np.arange(0.2, 10.001, 0.001)
RATIO = gamma(2 / GRID) ** 2 / (gamma(1 / GRID) * gamma(3 / GRID))


def asymmetric_fit(values):
    left, right = (math.sqrt(np.mean(part**2)) for part in (values[values < 0], values[values > 0]))
    skew = left / right
    moment = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    shape = GRID[np.argmin((RATIO - moment * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2) ** 2)]
    width = math.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * width, right * width


def block_features(block):
    shape, left, right = asymmetric_fit(block.ravel())
    features = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = asymmetric_fit((block * np.roll(block, shift, axis=(0, 1))).ravel())
        features += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return features

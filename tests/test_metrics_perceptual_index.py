"""PI through pyiqa with random forests in the published layout."""

import dataclasses
import shutil
import socket

import numpy as np
import pytest
import torch
from lr_images import sample_of
from scipy.io import savemat

from rescale_bench.errors import UnavailableError, UndefinedValueError, WeightsError
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.metrics.needed import prepare_files
from rescale_bench.metrics.niqe import NIQE_PRISTINE
from rescale_bench.metrics.perceptual_index import NRQM_MODEL, _models, perceptual_index, rescale_bench_metrics

(PI,) = rescale_bench_metrics()


def forest(features, rng, trees=4):
    """Trees of a root and two leaves: children, unused fields, thresholds, values, split attributes."""
    children = np.zeros((3, trees), np.int32)
    left, right = children.copy(), children.copy()
    left[0], right[0] = 2, 3
    attribute = np.zeros((3, trees), np.int32)
    attribute[0] = rng.integers(1, features + 1, trees)
    names = ("lDau", "rDau", "nodestatus", "nrnodes", "upper", "avnode", "mbest")
    parts = (left, right, children, np.zeros((1, 1)), rng.uniform(0, 2, (3, trees)), rng.uniform(0, 10, (3, trees)))
    return dict(zip(names, (*parts, attribute), strict=True))


@pytest.fixture
def files(parity_root, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    NRQM_MODEL.location.parent.mkdir(parents=True)
    shutil.copyfile(parity_root.parent / "iqa" / "niqe_modelparameters.mat", NIQE_PRISTINE.location)
    rng = np.random.default_rng(1)
    forests = np.empty((1, 3), object)
    for index, features in enumerate((18, 46, 75)):
        forests[0, index] = forest(features, rng)
    model = {"linear": np.array([[0.4], [0.2], [0.3], [0.5]]), "rf": forests}
    savemat(NRQM_MODEL.location, {"model": model})

    def refuse(*arguments, **names):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path


def image(height=104, width=200, seed=0):
    rng = np.random.default_rng(seed)
    ramp = np.linspace(30, 220, width)[None, None] + rng.normal(0, 25, (3, height, width))
    return torch.from_numpy(ramp.clip(0, 255).astype(np.uint8))


def sample(sr):
    return dataclasses.replace(sample_of(np.zeros((4, 4, 3), np.uint8)), sr=sr)


def test_equals_pyiqas_own(files, monkeypatch):
    import_torchvision()
    from pyiqa.archs import nrqm_arch
    from pyiqa.utils import download_util

    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(NRQM_MODEL.location.parent))
    unit = image()[None].float() / 255
    with torch.inference_mode():
        other = nrqm_arch.PI()
        expected = float(other(unit))
        halves = float(other.nrqm(unit)), float(other.niqe(unit))
    value = PI.measure(sample(image()), {})
    assert value == pytest.approx(expected, abs=1e-6)
    assert value == pytest.approx(((10 - halves[0]) + halves[1]) / 2, abs=1e-5)
    assert PI.measure(sample(image().float()), {}) == pytest.approx(value, abs=1e-6)


def test_undefined(files):
    with pytest.raises(UndefinedValueError, match="192×95 px are left"):
        perceptual_index(image(103, 200))
    with pytest.raises(UndefinedValueError, match="RGB"):
        PI.measure(sample(image()[:1]), {})
    with pytest.raises(UndefinedValueError, match="have texture"):
        perceptual_index(torch.full((3, 104, 200), 90, dtype=torch.uint8))


def test_missing_files_are_told(files, tmp_path, monkeypatch):
    assert PI.problems() == []
    NRQM_MODEL.location.unlink()
    (problem,) = PI.problems()
    assert problem == f"metric pi: {NRQM_MODEL.location} is missing; put {NRQM_MODEL.url} there by hand"
    with pytest.raises(UnavailableError, match="no checksum is known"):
        prepare_files(PI.files, lambda text: None)


def test_another_file_is_refused(files):
    savemat(NRQM_MODEL.location, {"other": 1})
    _models.cache_clear()
    with pytest.raises(WeightsError, match="not the model of Ma et al"):
        perceptual_index(image())
    NRQM_MODEL.location.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not the model of Ma et al"):
        perceptual_index(image())

import dataclasses

import numpy as np
import pytest
import torch
from lr_images import all_lr, sample_of

from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics.piqe import piqe, rescale_bench_metrics

OURS, PYIQA = rescale_bench_metrics()


def noise(height, width, channels=3):
    return np.random.default_rng(1).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_names():
    assert (OURS.name, PYIQA.name) == ("piqe_lr", "piqe_lr@pyiqa")


# FGRN (BMVC 2021), table 2, and the same in the right order of channels (spec/metrics.md).
@pytest.mark.parametrize(
    ("folder", "scale", "published", "corrected"),
    [
        ("Set5", 2, 38.561, 40.521),
        ("Set14", 2, 39.802, 40.250),
        ("BSD100", 2, 32.494, 33.618),
        ("Set5", 4, 51.101, 52.898),
        ("Set14", 4, 45.335, 44.664),
        ("BSD100", 4, 41.527, 42.457),
    ],
)
def test_published_rows(data_root, folder, scale, published, corrected):
    samples = [sample_of(lr, scale) for lr in all_lr(data_root / folder, scale)]
    swapped = np.mean([OURS.measure(sample, {"channels": "bgr"}) for sample in samples])
    assert swapped == pytest.approx(published, abs=0.001)
    assert np.mean([OURS.measure(sample, {"channels": "rgb"}) for sample in samples]) == pytest.approx(
        corrected, abs=0.001
    )


@pytest.mark.parametrize(("folder", "scale", "expected"), [("Set5", 2, 40.856), ("Set14", 4, 40.325)])
def test_pyiqa_rows(data_root, folder, scale, expected):
    values = [PYIQA.measure(sample_of(lr, scale), {}) for lr in all_lr(data_root / folder, scale)]
    assert PYIQA.requires() == []
    assert np.mean(values) == pytest.approx(expected, abs=0.002)


def test_no_active_block_is_the_worst_score():
    # (0 + 1) / (0 + 1): the constant of the published formula.
    assert piqe(np.full((40, 40, 3), 77, np.uint8)) == 100


def test_half_flat_blocks_raise_no_warning():
    image = np.full((32, 32, 3), 10, np.uint8)
    image[:, 7:9] = noise(32, 2)
    assert 0 <= piqe(image) <= 100


def test_padding_repeats_the_edge():
    image = noise(33, 47)
    padded = np.pad(image, ((0, 15), (0, 1), (0, 0)), mode="edge")
    assert piqe(image) == piqe(padded)


@pytest.mark.parametrize("metric", [OURS, PYIQA])
def test_undefined(metric):
    with pytest.raises(UndefinedValueError, match="8-bit"):
        metric.measure(dataclasses.replace(sample_of(noise(32, 32)), lr=torch.zeros(3, 32, 32)), {})
    with pytest.raises(UndefinedValueError, match="RGB"):
        metric.measure(sample_of(noise(32, 32, 1)), {})
    with pytest.raises(UndefinedValueError, match="30×15"):
        metric.measure(sample_of(noise(15, 30)), {})


def test_pyiqa_has_no_value_for_black():
    with pytest.raises(UndefinedValueError, match="black"):
        PYIQA.measure(sample_of(np.zeros((32, 32, 3), np.uint8)), {})

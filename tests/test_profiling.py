import time

import numpy as np
import pytest
import torch

from rescale_bench.machine import profiling
from rescale_bench.machine.profiling import count_macs, measure

on_linux = pytest.mark.skipif(not profiling.CLEAR_REFS.exists(), reason="the peak is known on Linux alone")


def allocate(megabytes):
    return float(np.ones(megabytes * 125_000).sum())


def test_result_and_seconds():
    result, seconds, _ = measure(lambda: time.sleep(0.05) or "done", "cpu")
    assert result == "done"
    assert 0.05 <= seconds < 5


def test_an_error_passes_through():
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 // 0)


@on_linux
def test_peak_is_that_of_the_call_alone():
    _, _, idle = measure(lambda: None)
    _, _, large = measure(lambda: allocate(200))
    _, _, after = measure(lambda: None)
    assert 195 < large - idle < 260
    assert abs(after - idle) < 60


@on_linux
def test_peak_agrees_with_the_kernel():
    import resource

    # ru_maxrss (kB) is the same count when nothing larger came before the reset.
    _, _, peak = measure(lambda: allocate(50))
    assert 0 < peak <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6 + 1


def test_peak_is_unknown_where_it_cannot_be_reset(monkeypatch, tmp_path):
    monkeypatch.setattr(profiling, "CLEAR_REFS", tmp_path / "absent" / "clear_refs")
    assert measure(lambda: 1)[2] is None


def test_macs_of_a_convolution_and_a_product():
    layer = torch.nn.Conv2d(3, 8, 5, stride=2, padding=2, groups=1)
    image = torch.zeros(1, 3, 32, 48)
    assert count_macs(lambda: layer(image)) == 16 * 24 * 8 * 3 * 25
    assert count_macs(lambda: torch.zeros(4, 5) @ torch.zeros(5, 6)) == 4 * 5 * 6
    assert count_macs(lambda: image + 1) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_peak():
    _, seconds, peak = measure(lambda: torch.ones(50_000_000, device="cuda").sum(), "cuda")
    assert seconds > 0
    assert 200 <= peak < 250

import pytest
from lr_images import sample_of
from numpy import zeros

from rescale_bench.api.records import Costs
from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics.cost import rescale_bench_metrics

METRICS = {metric.name: metric for metric in rescale_bench_metrics()}
FULL = Costs(0.5, 0.25, 300.5, 400.0, 4_350_000, 10**12, 3 * 10**12)
EXPECTED = {
    "seconds_down": 0.5,
    "seconds_up": 0.25,
    "peak_mb_down": 300.5,
    "peak_mb_up": 400.0,
    "params": 4_350_000,
    "macs_down": 10**12,
    "macs_up": 3 * 10**12,
}


def test_each_reads_its_own_field():
    sample = sample_of(zeros((4, 4, 3), "uint8"), costs=FULL)
    assert {name: metric.measure(sample, {}) for name, metric in METRICS.items()} == EXPECTED


def test_unknown_is_undefined():
    sample = sample_of(zeros((4, 4, 3), "uint8"), costs=Costs(1.0, 2.0))
    for name in ("peak_mb_down", "peak_mb_up", "params", "macs_down", "macs_up"):
        with pytest.raises(UndefinedValueError, match=name):
            METRICS[name].measure(sample, {})


def test_only_clocks_and_memory_are_unrepeatable():
    assert {name for name, metric in METRICS.items() if not metric.repeatable} == {
        "seconds_down",
        "seconds_up",
        "peak_mb_down",
        "peak_mb_up",
    }
    assert {name for name, metric in METRICS.items() if "macs" in metric.needs} == {"macs_down", "macs_up"}

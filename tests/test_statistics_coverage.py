"""Coverage of the intervals by simulation on skewed differences, as spec/metrics.md measured it, and the new tests."""

import math

import numpy as np
import pytest
from scipy import stats

from rescale_bench.errors import UndefinedValueError, UsageError
from rescale_bench.statistics import paired as statistics

TRIALS = 2000


def differences(generator, shape):
    """Draw per-image gains as they are seen between methods: all to one side, with a long tail (skewness 1.4)."""
    return generator.gamma(2.0, 0.35, shape)


TRUE = 2.0 * 0.35


def covered(intervals):
    low, high = np.asarray(intervals).T
    return float(np.mean((low <= TRUE) & (high >= TRUE)))


def t_intervals(data):
    found = [statistics.summarise(list(row)) for row in data]
    return [(one.low, one.high) for one in found]


def test_five_images_t_covers_more_than_nine_in_ten_where_the_percentile_bootstrap_covers_eight():
    generator = np.random.default_rng(3)
    data = differences(generator, (TRIALS, 5))
    assert covered(t_intervals(data)) == pytest.approx(0.91, abs=0.02)
    means = data[np.arange(TRIALS)[:, None, None], generator.integers(0, 5, (TRIALS, 400, 5))].mean(axis=2)
    assert covered(np.quantile(means, [0.025, 0.975], axis=1).T) == pytest.approx(0.80, abs=0.03)


def test_hundred_images_t_and_bca_cover_what_they_say():
    data = differences(np.random.default_rng(4), (300, 100))
    assert covered(t_intervals(data)) == pytest.approx(0.95, abs=0.03)
    few = data[:150]
    assert covered([statistics.bca_interval(list(row)) for row in few]) == pytest.approx(0.95, abs=0.045)


def test_stratified_interval_covers_where_sets_differ_in_size_and_spread():
    generator = np.random.default_rng(5)
    hits = []
    for _ in range(1000):
        sets = {"a": list(generator.normal(0.1, 0.3, 5)), "b": list(generator.normal(0.5, 1.0, 14)),
                "c": list(generator.normal(0.3, 0.1, 100))}  # fmt: skip
        found = statistics.stratified(sets)
        hits.append(found.low <= 0.3 <= found.high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.025)


def test_stratified_of_two_sets_equals_welch():
    generator = np.random.default_rng(6)
    a, b = generator.normal(1, 1, 6), generator.normal(2, 3, 9)
    found = statistics.stratified({"a": list(a), "b": list(b)})
    # The mean of two means is half the difference of a and −b.
    welch = stats.ttest_ind(a, -b, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((welch.low / 2, welch.high / 2), rel=1e-9)
    assert found.mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert (found.n, found.wins) == (15, int((a > 0).sum() + (b > 0).sum()))


def test_stratified_weighs_sets_not_images():
    found = statistics.stratified({"small": [1.0, 1.0], "large": [0.0] * 98})
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)
    assert math.isnan(statistics.stratified({"one": [1.0], "two": [1.0, 2.0]}).low)
    with pytest.raises(UndefinedValueError):
        statistics.stratified({"empty": []})


@pytest.mark.parametrize("n", [4, 10, 16, 17, 60])
def test_tests_of_many_columns_equal_those_of_each(n):
    columns = [list(row) for row in np.random.default_rng(n).normal(0.2, 1.0, (5, n))]
    assert statistics.sign_flip_tests(columns, seed=3) == [statistics.sign_flip_test(one, seed=3) for one in columns]


def test_columns_of_different_length_are_refused():
    assert statistics.sign_flip_tests([]) == []
    with pytest.raises(UsageError, match="3 to 4"):
        statistics.sign_flip_tests([[1.0] * 3, [1.0] * 4])


def test_sign_flips_reject_true_nulls_as_often_as_they_say():
    data = np.random.default_rng(8).laplace(0, 1, (2000, 9))
    rejected = np.mean([p < 0.05 for p in statistics.sign_flip_tests([list(row) for row in data]) if p is not None])
    assert rejected == pytest.approx(0.05, abs=0.015)

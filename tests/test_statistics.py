"""Intervals and tests against scipy, Holm against a worked example, coverage against what the spec measured."""

import math

import numpy as np
import pytest
from scipy import stats

from rescale_bench.errors import UndefinedValueError, UsageError
from rescale_bench.statistics import paired as statistics

NAMES = [f"image{index:03d}" for index in range(200)]


def scores(values):
    return dict(zip(NAMES, values, strict=False))


def samples(n, seed=1, shift=0.3):
    generator = np.random.default_rng(seed)
    b = generator.normal(30, 4, n)
    return b + generator.normal(shift, 0.5, n), b


@pytest.mark.parametrize("n", [2, 5, 14, 100])
def test_t_interval_equals_scipy(n):
    a, b = samples(n)
    found = statistics.paired_difference(scores(a), scores(b))
    interval = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert found.mean == pytest.approx(np.mean(a - b), abs=1e-12)
    assert found.sd == pytest.approx(np.std(a - b, ddof=1), abs=1e-12)
    assert found.half_width == pytest.approx((interval.high - interval.low) / 2)
    assert found.n == n


def test_wins_follow_the_direction():
    a, b = {"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 1.0, "y": 1.0, "z": 9.0}
    for direction, wins in (("up", 1), ("down", 1), ("none", 0)):
        found = statistics.paired_difference(a, b, direction)
        assert (found.wins, found.ties) == (wins, 1)
    assert statistics.paired_difference({"x": 1.0, "y": 5.0}, {"x": 2.0, "y": 7.0}, "down").wins == 2


def test_one_pair_has_no_interval():
    found = statistics.paired_difference({"x": 2.0}, {"x": 1.5})
    assert found.mean == 0.5
    assert math.isnan(found.sd)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_different_images_and_infinite_values_are_refused():
    with pytest.raises(UsageError, match="by one method alone: y, z"):
        statistics.paired_difference({"x": 1.0, "y": 1.0}, {"x": 1.0, "z": 1.0})
    with pytest.raises(UsageError, match="x is inf"):
        statistics.paired_difference({"x": math.inf}, {"x": 1.0})
    with pytest.raises(UndefinedValueError):
        statistics.paired_difference({}, {})


@pytest.mark.parametrize("n", [6, 9, 12])
def test_exact_sign_flips_equal_scipy(n):
    a, b = samples(n, seed=n)
    expected = stats.permutation_test(
        (a - b,), lambda x, axis: np.mean(x, axis=axis), permutation_type="samples", vectorized=True, n_resamples=2**n
    )
    assert statistics.sign_flip_test(list(a - b)) == pytest.approx(expected.pvalue, abs=1e-12)


def test_exact_sign_flips_by_hand():
    # Only "all plus" and "all minus" reach the observed sum.
    assert statistics.sign_flip_test([0.1, 0.2, 0.3, 0.1, 0.2, 0.7]) == 2 / 64
    # Equal magnitudes, one of six against: 2 · (1 + 6) of 64 patterns reach it.
    assert statistics.sign_flip_test([0.1] * 5 + [-0.1]) == 14 / 64
    assert statistics.sign_flip_test([0.0] * 8) == 1.0


def test_five_pairs_cannot_be_significant():
    assert statistics.sign_flip_test([1.0] * 5) is None
    assert statistics.wilcoxon_test([1.0] * 5) is None


def test_sampled_sign_flips_are_seeded_and_near_the_t_test():
    a, b = samples(40, seed=3, shift=0.15)
    first = statistics.sign_flip_test(list(a - b), seed=5)
    assert first == statistics.sign_flip_test(list(a - b), seed=5)
    assert first == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)
    # Never 0, however clear the case is.
    assert statistics.sign_flip_test([1.0] * 100) == 1 / 100_001


def test_wilcoxon_equals_scipy():
    a, b = samples(20)
    assert statistics.wilcoxon_test(list(a - b)) == stats.wilcoxon(a, b).pvalue


def test_holm_worked_example():
    # Sorted: 0.01·4 = 0.04, 0.02·3 = 0.06, 0.03·2 = 0.06, and 0.04·1 is lifted to 0.06.
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@pytest.mark.filterwarnings("default")
def test_bca_equals_scipy():
    values = np.random.default_rng(7).gamma(2.0, 1.0, 100)
    low, high = statistics.bca_interval(list(values))
    expected = stats.bootstrap((values,), np.mean, method="BCa", n_resamples=9_999, random_state=11).confidence_interval
    # Two sets of 9,999 resamples differ by their own noise, about 1 % of the standard error.
    noise = 0.05 * values.std() / 10
    assert low == pytest.approx(expected.low, abs=noise)
    assert high == pytest.approx(expected.high, abs=noise)
    assert (low, high) == statistics.bca_interval(list(values))
    assert (low + high) / 2 > values.mean()  # skewed to the right, so is the interval


def test_bca_wants_fifty_pairs():
    assert statistics.bca_interval([1.0, 2.0] * 24) is None
    assert statistics.bca_interval([2.0] * 50) == (2.0, 2.0)


def test_coverage_of_five_pairs():
    # Normal differences: the interval must hold the truth 95 times in 100, up to the noise of 2000 trials.
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        found = statistics.summarise(list(generator.normal(0.2, 1.0, 5)))
        hits += found.low <= 0.2 <= found.high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("half", "decimals"), [(0.31, 2), (0.0042, 4), (3.0, 1), (42.0, 0), (1e-9, 6), (0.0, 3), (math.nan, 3)]
)
def test_decimals_go_one_digit_beyond_the_half_width(half, decimals):
    assert statistics.decimals_for(half, 3) == decimals

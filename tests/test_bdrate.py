"""BD-rate and BD-PSNR against curves whose answer is known, and against a second calculation from the formulas."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from scipy.integrate import quad

from rescale_bench.errors import UndefinedValueError, UsageError
from rescale_bench.statistics.bdrate import INTERPOLATIONS, bd_psnr, bd_rate

# The example in the README of the package bjontegaard (libx265 presets), (kbit/s, dB).
ANCHOR = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
TEST = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]
# A pair in wide use with implementations of VCEG-M33.
FIRST = [(686.76, 40.28), (309.58, 37.18), (157.11, 34.24), (85.95, 31.42)]
SECOND = [(893.34, 40.39), (407.80, 37.21), (204.93, 34.17), (112.75, 31.24)]


def cubic_mean(points, low, high):
    """Average the cubic through four points exactly: Lagrange's polynomial in fractions, integrated term by term."""
    xs, ys = ([Fraction(value) for value in column] for column in zip(*points, strict=True))
    coefficients = [Fraction(0)] * 4
    for i, y in enumerate(ys):
        term = [Fraction(1)]
        for j, x in enumerate(xs):
            if i != j:
                shifted = [Fraction(0), *term]
                term = [(a - x * b) / (xs[i] - x) for a, b in zip(shifted, [*term, Fraction(0)], strict=True)]
        coefficients = [a + y * b for a, b in zip(coefficients, term, strict=True)]
    low, high = Fraction(low), Fraction(high)
    whole = sum(c * (high ** (k + 1) - low ** (k + 1)) / (k + 1) for k, c in enumerate(coefficients))
    return float(whole / (high - low))


def hermite(points, slopes):
    """Evaluate the piecewise cubic with given slopes at its points."""
    xs, ys = zip(*points, strict=True)

    def value(x):
        k = max(0, min(len(xs) - 2, sum(x >= one for one in xs) - 1))
        h = xs[k + 1] - xs[k]
        t = (x - xs[k]) / h
        return (
            ys[k] * (2 * t**3 - 3 * t**2 + 1) + h * slopes[k] * (t**3 - 2 * t**2 + t)
            + ys[k + 1] * (3 * t**2 - 2 * t**3) + h * slopes[k + 1] * (t**3 - t**2)
        )  # fmt: skip

    return value


def secants(points):
    return [(d - b) / (c - a) for (a, b), (c, d) in pairwise(points)]


def pchip_slopes(points):
    """Fritsch and Butland (1984), three-point ends, as the JCT-VC sheet."""
    h = [c - a for (a, _), (c, _) in pairwise(points)]
    d = secants(points)
    inner = []
    for k in range(1, len(d)):
        w1, w2 = 2 * h[k] + h[k - 1], h[k] + 2 * h[k - 1]
        inner.append(0.0 if d[k - 1] * d[k] <= 0 else (w1 + w2) / (w1 / d[k - 1] + w2 / d[k]))

    def end(h0, h1, d0, d1):
        slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
        if slope * d0 <= 0:
            return 0.0
        return 3 * d0 if d0 * d1 <= 0 and abs(slope) > abs(3 * d0) else slope

    return [end(h[0], h[1], d[0], d[1]), *inner, end(h[-1], h[-2], d[-1], d[-2])]


def akima_slopes(points):
    """Akima (1970), eq. 1, with his extrapolated secants at the ends."""
    d = secants(points)
    m = [3 * d[0] - 2 * d[1], 2 * d[0] - d[1], *d, 2 * d[-1] - d[-2], 3 * d[-1] - 2 * d[-2]]
    found = []
    for k in range(len(points)):
        left, right = abs(m[k + 3] - m[k + 2]), abs(m[k + 1] - m[k])
        found.append(
            (left * m[k + 1] + right * m[k + 2]) / (left + right) if left + right else (m[k + 1] + m[k + 2]) / 2
        )
    return found


def own_gap(anchor, test, interpolation):
    """Average test − anchor over the shared base; curves as (base, value) in rising base."""
    low, high = max(anchor[0][0], test[0][0]), min(anchor[-1][0], test[-1][0])
    if interpolation == "cubic":
        return cubic_mean(test, low, high) - cubic_mean(anchor, low, high)
    slopes = {"pchip": pchip_slopes, "akima": akima_slopes}[interpolation]
    curves = [hermite(curve, slopes(curve)) for curve in (anchor, test)]
    knots = sorted(x for curve in (anchor, test) for x, _ in curve if low < x < high)
    return quad(lambda x: curves[1](x) - curves[0](x), low, high, points=knots, epsabs=1e-12)[0] / (high - low)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize(("anchor", "test"), [(ANCHOR, TEST), (FIRST, SECOND)])
def test_equals_a_second_calculation(anchor, test, interpolation):
    by_quality = [sorted((quality, math.log10(rate)) for rate, quality in curve) for curve in (anchor, test)]
    by_rate = [sorted((math.log10(rate), quality) for rate, quality in curve) for curve in (anchor, test)]
    expected = 100 * (10 ** own_gap(*by_quality, interpolation) - 1)
    assert bd_rate(anchor, test, interpolation).value == pytest.approx(expected, abs=1e-6)
    assert bd_psnr(anchor, test, interpolation).value == pytest.approx(own_gap(*by_rate, interpolation), abs=1e-8)


# What bd_metric 0.9.0 (PyPI, MIT, Shengbin Meng), an implementation of VCEG-M33 that shares no code with the package
# bjontegaard, computes from these curves: BD-rate [%], BD-PSNR [dB]. Run by us on 2026-11-21. These are not values
# that a paper or a standard prints: neither package's documentation prints any.
BD_METRIC = {"x265": (-4.420462706245, 0.120409419115), "second": (31.397374054909, -1.184897921770)}


@pytest.mark.parametrize(("name", "anchor", "test"), [("x265", ANCHOR, TEST), ("second", FIRST, SECOND)])
def test_equals_another_published_implementation(name, anchor, test):
    rate, quality = BD_METRIC[name]
    assert bd_rate(anchor, test, "cubic").value == pytest.approx(rate, abs=1e-6)
    assert bd_psnr(anchor, test, "cubic").value == pytest.approx(quality, abs=1e-6)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_shifted_curves_have_exactly_their_shift(interpolation):
    saved = [(0.8 * rate, quality) for rate, quality in ANCHOR]
    assert bd_rate(ANCHOR, saved, interpolation).value == pytest.approx(-20, abs=1e-9)
    better = [(rate, quality + 0.5) for rate, quality in ANCHOR]
    assert bd_psnr(ANCHOR, better, interpolation).value == pytest.approx(0.5, abs=1e-9)
    same = bd_rate(ANCHOR, ANCHOR, interpolation)
    assert (same.value, same.overlap, same.crossings, same.status) == (pytest.approx(0, abs=1e-9), 1, (), "ok")


def test_the_order_of_points_does_not_matter():
    assert bd_rate(ANCHOR[::-1], TEST[2:] + TEST[:2]) == bd_rate(ANCHOR, TEST)


def test_curves_apart_have_no_number():
    far = [(rate, quality + 20) for rate, quality in ANCHOR]
    found = bd_rate(ANCHOR, far)
    assert found.value is None
    assert (found.status, found.overlap) == ("no overlap", 0)
    assert "nothing to average" in found.remarks[0]
    assert bd_psnr(ANCHOR, far).value == pytest.approx(20)  # at equal rate they do compare


def test_little_overlap_is_said():
    span = ANCHOR[0][1] - ANCHOR[-1][1]
    found = bd_rate(ANCHOR, [(rate, quality + 0.6 * span) for rate, quality in ANCHOR])
    assert found.overlap == pytest.approx(0.4 / 1.6)
    assert found.status == "little overlap"
    assert (found.low, found.high) == pytest.approx((ANCHOR[-1][1] + 0.6 * span, ANCHOR[0][1]))
    assert "25%" in found.remarks[0]


def test_crossing_curves_are_said_and_where():
    straight = [(10.0**k, 30.0 + 2 * k) for k in range(4)]
    steeper = [(10.0**k, 28.5 + 3 * k) for k in range(4)]  # equal at k = 1.5: 33 dB, 31.6 bit
    found = bd_rate(straight, steeper, "pchip")
    assert found.status == "crossing" or found.overlap < 0.75
    assert found.crossings == (pytest.approx(33, abs=0.01),)
    assert bd_psnr(straight, steeper, "pchip").crossings == (pytest.approx(10**1.5, rel=0.01),)
    assert "cross at 33" in found.remarks[-1]
    assert bd_psnr(straight, steeper, "pchip").value == pytest.approx(0, abs=1e-9)  # the mean alone hides it


def test_what_is_not_defined_is_refused():
    falling = [*ANCHOR[:3], (1000.0, 37.5)]
    with pytest.raises(UndefinedValueError, match="does not rise"):
        bd_rate(falling, TEST)
    assert bd_psnr(falling, TEST).value is not None
    with pytest.raises(UndefinedValueError, match="anchor curve has 3 points"):
        bd_rate(ANCHOR[:3], TEST)
    with pytest.raises(UsageError, match="one rate twice"):
        bd_psnr([*ANCHOR, (9487.76, 41)], TEST)
    for point in ((0.0, 30.0), (1.0, math.inf), (math.nan, 30.0)):
        with pytest.raises(UsageError, match="holds the point"):
            bd_rate([*ANCHOR, point], TEST)
    with pytest.raises(UsageError, match="choose from cubic"):
        bd_rate(ANCHOR, TEST, "linear")

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescale_bench.api.scales import NativeScales, exact, lr_side, parse_scale, parse_scales
from rescale_bench.errors import UsageError


def test_a_range_is_inclusive_and_exact():
    scales = parse_scales("1.1:4.0")
    assert [str(scale) for scale in scales] == [str(Decimal(n) / 10).rstrip("0").rstrip(".") for n in range(11, 41)]


def test_mixtures_are_sorted_without_repeats():
    assert [str(scale) for scale in parse_scales("4,2,1.5:2.5:0.25,2.00")] == ["1.5", "1.75", "2", "2.25", "2.5", "4"]


def test_a_step_that_misses_the_end_stops_before_it():
    assert [str(scale) for scale in parse_scales("1.5:2:0.2")] == ["1.5", "1.7", "1.9"]


@pytest.mark.parametrize("text", ["0", "-2", "0.5", "nan", "inf", "two", "", "2,,3", "4.0:1.1", "1:2:0", "1:2:-1",
                                  "1:2:x", "1:2:3:4", "65", "1e999", "1:60:0.00001"])  # fmt: skip
def test_what_is_no_scale_is_refused_by_name(text):
    with pytest.raises(UsageError) as refused:
        parse_scales(text)
    assert refused.value.about == "scales"


def test_a_backward_range_says_how_to_write_it():
    with pytest.raises(UsageError, match=r"write 1\.1:4\.0"):
        parse_scales("4.0:1.1")


@given(side=st.integers(1, 5000), tenths=st.integers(10, 80))
def test_lr_side_is_the_exact_ceiling(side, tenths):
    scale = Decimal(tenths) / 10
    expected = math.ceil(Fraction(side * 10, tenths))
    assert lr_side(side, scale) == lr_side(side, float(scale)) == expected


def test_the_published_float_rule_differs_where_the_spec_says():
    assert lr_side(276, Decimal("2.3")) == 120
    assert math.ceil(276 * (1.0 / 2.3)) == 121


@given(st.text(max_size=12))
def test_parsing_never_crashes(text):
    try:
        found = parse_scales(text)
    except UsageError:
        return
    assert all(1 <= scale <= 64 for scale in found)


def test_native_scales_print_and_combine():
    fixed, native = NativeScales.of(2, 4), NativeScales.between("1", "4")
    assert str(fixed) == "{2, 4}"
    assert str(native) == "(1, 4]"
    assert Decimal("2.0") in fixed
    assert Decimal(1) not in native
    assert 4.0 in native
    assert str(fixed & native) == str(native & fixed) == "{2, 4}"
    assert str(native & NativeScales.between("2", "8")) == "(2, 4]"
    assert "2" not in fixed


def test_whole_tens_keep_their_plain_form():
    assert str(parse_scale("10")) == "10"
    assert str(exact(10.0)) == "10"

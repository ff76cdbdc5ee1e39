"""The regression gate: cell by cell, both directions, infinities, lost cells, JUnit and annotations."""

import math
from xml.etree import ElementTree

import pandas as pd
import pytest

from rescale_bench.checks.regression import check
from rescale_bench.checks.reporting import github_annotations, junit, report, summary, worst_table
from rescale_bench.checks.tolerances import Tolerance, parse_tolerances, tolerance_of
from rescale_bench.errors import UnknownNameError, UsageError


def row(value=30.0, **changes):
    base = {
        "method": "bicubic", "options": "", "weights": "", "weights_sha256": "", "dataset": "Set5", "image": "baby",
        "image_sha256": "ab", "scale": "2", "codec": "png", "protocol": "rgb8", "protocol_version": 1, "seed": 0,
        "tile": "", "dtype": "float32", "metric": "psnr_y", "metric_version": "own/1", "direction": "up",
        "repeatable": True, "value": value, "status": "ok", "error": "",
    }  # fmt: skip
    return {**base, **changes}


def frame(*rows):
    return pd.DataFrame(list(rows))


def one(now, then, tolerances=None):
    result = check(frame(now), frame(then), tolerances)
    assert len(result.comparisons) == 1
    return result


@pytest.mark.parametrize(
    ("direction", "before", "after", "outcome", "status"),
    [
        ("up", 30.0, 29.98, "regressed", 3),
        ("up", 30.0, 30.02, "better", 0),
        ("up", 30.0, 29.995, "same", 0),
        ("down", 30.0, 30.02, "regressed", 3),
        ("down", 30.0, 29.98, "better", 0),
        ("none", 30.0, 30.02, "regressed", 3),
        ("none", 30.0, 29.98, "regressed", 3),
        ("up", math.inf, math.inf, "same", 0),
        ("up", math.inf, 60.0, "regressed", 3),
        ("up", 60.0, math.inf, "better", 0),
        ("down", 60.0, math.inf, "regressed", 3),
        ("none", 60.0, math.inf, "regressed", 3),
        ("none", math.inf, 60.0, "regressed", 3),
    ],
)
def test_directions_and_infinities(direction, before, after, outcome, status):
    result = one(row(after, direction=direction), row(before, direction=direction), {"psnr_y": 0.01})
    assert result.comparisons[0].outcome == outcome
    assert result.exit_status == status


def test_exactly_the_tolerance_is_allowed():
    # 30.40 − 30.39 is 0.00999999999999801 or 0.0100000000000016, depending on the digits.
    for before, after in ((30.40, 30.39), (30.39, 30.38), (33.66, 33.65)):
        assert one(row(after), row(before), {"psnr_y": 0.01}).exit_status == 0
    assert one(row(30.39 - 1e-9), row(30.40), {"psnr_y": 0.01}).exit_status == 3
    assert one(row(30.0), row(30.0), {"psnr_y": 0.0}).exit_status == 0


def test_cells_are_compared_not_means():
    # The mean is better; one image is not.
    then = [row(30.0, image="baby"), row(30.0, image="bird")]
    now = [row(35.0, image="baby"), row(29.9, image="bird")]
    result = check(frame(*now), frame(*then))
    assert [(each.row["image"], each.outcome) for each in result.comparisons] == [
        ("bird", "regressed"),
        ("baby", "better"),
    ]
    assert result.exit_status == 3


@pytest.mark.parametrize("status", ["failed", "undefined"])
def test_a_value_that_is_gone_is_lost(status):
    result = one(row(math.nan, status=status, error="out of memory"), row(30.0))
    assert result.comparisons[0].outcome == "lost"
    assert result.exit_status == 3
    assert f"{status}: out of memory" in worst_table(result)


def test_a_missing_image_within_the_grid_is_lost_and_an_unrun_scale_is_not_compared():
    then = [row(30.0, image="baby"), row(30.0, image="bird"), row(30.0, scale="4"), row(30.0, method="irn")]
    result = check(frame(row(30.0, image="baby")), frame(*then))
    outcomes = {(each.row["method"], each.row["image"], each.row["scale"]): each.outcome for each in result.comparisons}
    assert outcomes == {
        ("bicubic", "baby", "2"): "same",
        ("bicubic", "bird", "2"): "lost",
        ("bicubic", "baby", "4"): "not compared",
        ("irn", "baby", "2"): "not compared",
    }
    assert result.exit_status == 3
    assert "missing from the current run" in report(result)


def test_what_the_baseline_never_had_is_no_regression():
    result = one(row(30.0), row(math.nan, status="failed"))
    assert result.comparisons[0].outcome == "gained"
    assert result.exit_status == 4


@pytest.mark.parametrize(
    ("field", "other"), [("protocol_version", 2), ("metric_version", "own/2"), ("image_sha256", "ff")]
)
def test_other_content_is_not_comparable(field, other):
    result = one(row(10.0, **{field: other}), row(30.0))
    assert result.comparisons[0].outcome == "not comparable"
    assert result.exit_status == 4
    assert f"another {field}" in report(result)


@pytest.mark.parametrize(
    "field", ["options", "weights", "scale", "codec", "protocol", "seed", "tile", "dtype", "metric", "dataset"]
)
def test_other_grid_points_are_nothing_comparable(field):
    result = one(row(10.0, **{field: "7"}), row(30.0))
    assert result.exit_status == 4


def test_other_weights_of_the_same_tag_are_compared_and_noted():
    result = one(row(29.0, weights="small", weights_sha256="b"), row(30.0, weights="small", weights_sha256="a"))
    assert result.exit_status == 3
    assert "bicubic [small]: other weights file" in report(result)


def test_clocks_are_skipped_unless_named():
    now, then = (row(value, metric="seconds_up", direction="down", repeatable=False) for value in (9.0, 1.0))
    assert check(frame(now), frame(then)).exit_status == 4
    assert check(frame(now), frame(then)).comparisons == ()
    assert check(frame(now), frame(then), {"seconds_up": 0.5}).exit_status == 3
    assert check(frame(now), frame(then), {"seconds_up": 9.0}).exit_status == 0


def test_baseline_read_from_csv_equals_the_frame(tmp_path):
    data = frame(row(math.inf), row(30.0, image="bird"))
    data.to_csv(tmp_path / "baseline.csv", index=False)
    back = pd.read_csv(tmp_path / "baseline.csv", dtype={"scale": str}, keep_default_na=False)
    result = check(data, back)
    assert [each.outcome for each in result.comparisons] == ["same", "same"]


def test_of_a_cell_measured_twice_the_later_counts():
    result = check(frame(row(1.0), row(30.0)), frame(row(30.0)))
    assert [each.outcome for each in result.comparisons] == ["same"]


def test_tolerance_for_a_metric_that_nobody_measured_is_a_misspelling():
    with pytest.raises(UnknownNameError, match="did you mean psnr_y"):
        check(frame(row()), frame(row()), {"psnr-y": 0.01})


def test_a_tolerance_given_wins_over_the_runs():
    assert tolerance_of("psnr_lr", {}, "0.01") == Tolerance(0.01)
    assert tolerance_of("bpp_png", {}, "0.1%").allowed(12.0) == pytest.approx(0.012)
    assert tolerance_of("bpp_png", {}, "0.1%").allowed(math.inf) == 0.0
    given = {"piqe_lr": 0.5, "piqe_lr:channels=bgr": Tolerance(0.01, relative=True)}
    assert tolerance_of("piqe_lr:channels=bgr", given, "0.1").allowed(50.0) == 0.5
    assert tolerance_of("piqe_lr", given, "0.1").allowed(50.0) == 0.5
    with pytest.raises(UsageError, match="run's tolerance of mine"):
        tolerance_of("mine", {}, "much")


def test_default_tolerances_are_those_of_the_rows_or_of_our_records():
    def allowed(**changes):
        (each,) = check(frame(row(**changes)), frame(row(**changes))).comparisons
        return each.allowed

    assert [allowed(metric=name) for name in ("psnr_lr", "ssim_rgb", "piqe_lr:channels=bgr")] == [0.01, 1e-4, 0.1]
    assert allowed(metric="lpips_alex", tolerance="0.5") == 0.5
    assert allowed(metric="sharpness", value=20.0) == pytest.approx(0.02)
    assert allowed(metric="sharpness", value=20.0, tolerance="0.3") == 0.3


def test_parse_tolerances():
    assert parse_tolerances("psnr_y=0.01,ssim_y=0.0001") == {"psnr_y": Tolerance(0.01), "ssim_y": Tolerance(0.0001)}
    assert parse_tolerances("bpp_png=0.5%") == {"bpp_png": Tolerance(0.005, relative=True)}
    found = parse_tolerances("bpp_jpeg:quality=90,subsampling=444=0.1, psnr_y = 1, piqe_lr:channels=bgr=2")
    assert found == {
        "bpp_jpeg:quality=90,subsampling=444": Tolerance(0.1),
        "psnr_y": Tolerance(1.0),
        "piqe_lr:channels=bgr": Tolerance(2.0),
    }


@pytest.mark.parametrize(
    "text",
    ["", "psnr_y", "psnr_y=", "=0.1", "psnr_y=abc", "psnr_y=-1", "psnr_y=nan", "psnr_y=inf", "psnr_y=1,", "a=1,a=2"],
)
def test_bad_tolerances_are_named(text):
    with pytest.raises(UsageError) as refused:
        parse_tolerances(text)
    assert refused.value.about == "tolerance"


@pytest.fixture
def result():
    then = [row(30.0, image=f"i{n}", scale=scale) for n in range(3) for scale in ("2", "3")]
    then += [row(0.9, metric="ssim_y", image="i0"), row(30.0, scale="8")]
    now = [row(30.0 - n, image=f"i{n}", scale=scale) for n in range(3) for scale in ("2", "3")]
    now += [row(math.nan, metric="ssim_y", image="i0", status="failed", error="50% <off>: a,\nb & \x00c")]
    return check(frame(*now), frame(*then), {"psnr_y": 0.01})


def test_worst_first(result):
    assert result.exit_status == 3
    found = [(each.row["image"], each.outcome) for each in result.regressions]
    assert found == [("i0", "lost"), ("i2", "regressed"), ("i2", "regressed"), ("i1", "regressed"), ("i1", "regressed")]
    assert summary(result) == "7 values compared, 5 regressed (of these 1 lost), 0 better, 1 not compared"
    table = worst_table(result, limit=2)
    assert table.endswith("… and 3 more")
    assert len(table.splitlines()) == 2 + 3 + 1  # the error of the lost cell holds a line break
    assert "×2" in worst_table(result)


def test_junit_is_read_back_by_a_parser(result):
    root = ElementTree.fromstring(junit(result))
    suite = root.find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "3", "1")
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    failure = cases["Set5 ×2 psnr_y (rgb8)"].find("failure")
    assert failure.get("message").startswith("2 of 3 images regressed; i2: 28 after 30")
    assert failure.text.splitlines() == [
        "i2: 28 after 30 (worse by 2, allowed 0.01)",
        "i1: 29 after 30 (worse by 1, allowed 0.01)",
    ]
    assert "50% <off>: a,\nb & ?c" in cases["Set5 ×2 ssim_y (rgb8)"].find("failure").text
    assert cases["Set5 ×8 psnr_y (rgb8)"].find("skipped") is not None
    assert junit(result).startswith('<?xml version="1.0" encoding="UTF-8"?>\n')


def test_github_annotations_are_escaped(result):
    lines = github_annotations(result).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("::error title=Regression%3A bicubic on Set5 ×2 ssim_y (rgb8)::")
    assert "50%25 <off>: a,%0Ab" in lines[0]
    title = lines[0].removeprefix("::error title=").partition("::")[0]
    assert not set(title) & set(":,\n\r")


def test_github_annotations_are_capped(result):
    lines = github_annotations(result, limit=2).splitlines()
    assert len(lines) == 2
    assert "2 further groups" in lines[1]


def test_nothing_to_annotate():
    assert github_annotations(one(row(), row())) == ""


def test_empty_runs_compare_nothing():
    assert check(frame(row()).iloc[:0], frame(row())).exit_status == 4
    assert check(frame(row()), frame(row()).iloc[:0]).exit_status == 4

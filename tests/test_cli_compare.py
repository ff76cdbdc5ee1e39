"""`compare`: pairing, intervals, marks for what is not like with like, one-sided cells, the bitwise verdict."""

import json
import math
from decimal import Decimal

import kept_run
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rescale_bench.checks import compare_runs, render_comparison
from rescale_bench.checks.differences import CONTENT
from rescale_bench.cli import main
from rescale_bench.errors import UnknownNameError
from rescale_bench.runs.folder import read_table
from rescale_bench.runs.store import Store

IMAGES = ("baby", "bird", "butterfly", "head")


def row(value=30.0, **changes):
    base = {
        "method": "irn", "options": "", "weights": "small", "weights_sha256": "aa", "dataset": "Set5", "image": "baby",
        "image_sha256": "ab", "scale": "2", "codec": "png", "protocol": "rgb8", "protocol_version": 1, "seed": 0,
        "tile": "", "dtype": "float32", "metric": "psnr_y", "metric_version": "own/1", "direction": "up", "unit": "dB",
        "decimals": 2, "repeatable": True, "value": value, "status": "ok", "error": "", "cell": "c",
    }  # fmt: skip
    return {**base, **changes}


def frame(*rows):
    return pd.DataFrame(list(rows))


def only(found):
    assert len(found.differences) == 1
    return found.differences[0]


def runs(a, b, **changes):
    """Give two tables of the same images with the values of a and of b."""
    first = [row(value, image=image) for image, value in zip(IMAGES, a, strict=False)]
    second = [row(value, image=image, **changes) for image, value in zip(IMAGES, b, strict=False)]
    return frame(*first), frame(*second)


def test_mean_and_interval_are_those_of_scipy():
    a, b = [30.0, 31.5, 28.25, 33.0], [30.5, 31.25, 29.5, 33.75]
    found = only(compare_runs(*runs(a, b)))
    steps = np.array(b) - np.array(a)
    reference = stats.ttest_rel(b, a).confidence_interval(0.95)
    assert found.mean.n == 4
    assert found.mean.mean == pytest.approx(steps.mean(), abs=1e-12)
    assert (found.mean.low, found.mean.high) == pytest.approx((reference.low, reference.high), abs=1e-10)
    assert (found.largest, found.largest_image) == (1.25, "butterfly")
    assert (found.values, found.equal, found.differs) == (4, 0, ())
    text = render_comparison(compare_runs(*runs(a, b)), "A", "B")
    assert f"{steps.mean():+.2f} ± {(reference.high - reference.low) / 2:.2f}" in text


def test_seeds_are_averaged_within_an_image():
    a = frame(*(row(30.0, seed=seed, image=image) for seed in (0, 1) for image in ("baby", "bird")))
    b = frame(*(row(30.0 + seed, seed=seed, image=image) for seed in (0, 1) for image in ("baby", "bird")))
    found = only(compare_runs(a, b))
    assert (found.images, found.mean.n, found.mean.mean) == (2, 2, 0.5)
    assert (found.values, found.equal, found.largest_image) == (4, 2, "baby (seed 1)")


def test_infinite_values_stay_outside_the_mean_and_count_for_the_verdict():
    same = only(compare_runs(*runs([math.inf, 30.0, 31.0], [math.inf, 30.0, 31.0])))
    assert (same.infinite, same.mean.n, same.equal, same.largest) == (1, 2, 3, 0.0)
    gone = only(compare_runs(*runs([math.inf, 30.0, 31.0], [60.0, 30.0, 31.0])))
    assert (gone.mean.n, gone.mean.mean, gone.largest, gone.largest_image, gone.equal) == (2, 0, -math.inf, "baby", 2)
    none = only(compare_runs(*runs([math.inf], [math.inf])))
    assert none.mean is None
    assert none.equal == 1


def test_one_bit_is_a_difference_and_is_not_printed_as_none():
    found = compare_runs(*runs([30.0, 31.0], [np.nextafter(30.0, 31), 31.0]))
    assert found.exit_status == 1
    assert found.changed == 1
    assert "+1.8e-15 ± " in render_comparison(found, "A", "B")
    zeros = compare_runs(*runs([0.0], [-0.0]))
    assert zeros.exit_status == 1
    assert compare_runs(*runs([30.0, 31.0], [30.0, 31.0])).exit_status == 0


def test_a_value_that_one_side_lacks_is_named_and_differs():
    a, b = runs([30.0, 31.0], [math.nan, 31.0])
    b.loc[0, "status"] = "failed"
    found = compare_runs(a, b)
    one = only(found)
    assert (one.lost, one.gained, one.values, one.equal) == (("baby",), (), 2, 1)
    assert found.exit_status == 1
    assert "no value in B: baby" in render_comparison(found, "A", "B")
    assert only(compare_runs(b, a)).gained == ("baby",)
    assert compare_runs(b.iloc[:1], b.iloc[:1]).exit_status == 4


@pytest.mark.parametrize("field", CONTENT)
def test_other_content_is_shown_under_a_mark_and_apart_from_the_rest(field):
    a, b = runs([30.0, 31.0, 32.0], [31.0, 32.0, 40.0])
    b[field] = b[field].astype(object)
    b.loc[2, field] = "9"
    found = compare_runs(a, b)
    clean, marked = found.differences
    assert (clean.differs, clean.mean.n, clean.mean.mean) == ((), 2, 1.0)
    assert [name for name, _ in marked.differs] == [field]
    assert marked.mean.mean == 8.0
    text = render_comparison(found, "A", "B")
    before, _, after = text.partition("≠ NOT LIKE WITH LIKE")
    assert "irn [small]" in before
    assert "≠ irn [small]" in after
    assert "→ 9" in after


def test_content_that_one_side_does_not_state_is_no_difference():
    a, b = runs([30.0], [30.0])
    assert only(compare_runs(a, b.drop(columns=[*CONTENT, "cell"]))).differs == ()


def test_another_cell_key_alone_means_another_version_of_the_code():
    a, b = runs([30.0], [30.0], cell="d")
    assert only(compare_runs(a, b)).differs == (("cell", ""),)
    b["weights_sha256"] = "bb"
    assert only(compare_runs(a, b)).differs == (("weights_sha256", "aa → bb"),)


def test_a_run_with_two_contents_of_a_cell_finds_its_equal_twin_whatever_the_order():
    old, new = row(30.0, cell="c1"), row(31.0, weights_sha256="bb", cell="c2")
    for both in (frame(old, new), frame(new, old)):
        found = compare_runs(both, frame(old))
        assert (only(found).differs, only(found).equal) == ((), 1)
        assert [(one.side, one.metrics) for one in found.one_sided] == [("A", ("psnr_y",))]


@pytest.mark.parametrize("field", ["options", "weights", "scale", "codec", "protocol", "tile", "dtype", "dataset"])
def test_other_cells_are_no_pairs_but_one_sided(field):
    found = compare_runs(frame(row()), frame(row(**{field: "7"})))
    assert found.differences == ()
    assert [(one.side, one.images, one.metrics) for one in found.one_sided] == [
        ("A", ("baby",), ()),
        ("B", ("baby",), ()),
    ]
    assert found.exit_status == 4
    assert "No cell is in both runs." in render_comparison(found, "A", "B")


def test_one_sided_cells_and_metrics_are_counted_and_named():
    shared = [row(image=image) for image in IMAGES]
    a = frame(*shared, *(row(0.9, image=image, metric="ssim_y") for image in IMAGES[:2]))
    b = frame(*shared, *(row(image=f"i{n:02}", scale="3") for n in range(10)))
    found = compare_runs(a, b)
    text = render_comparison(found, "A", "B")
    assert "only in A: irn [small], Set5 ×2 (rgb8, png): ssim_y of 2 cells: baby, bird" in text
    assert (
        "only in B: irn [small], Set5 ×3 (rgb8, png): 10 cells: i00, i01, i02, i03, i04, i05, i06, i07, … and 2" in text
    )
    assert "0 cells only in A, 10 only in B" in text
    assert (found.changed, found.alone, found.exit_status) == (0, 12, 1)
    assert compare_runs(a, frame(*shared), ["psnr_y"]).exit_status == 0


def test_clocks_are_shown_and_not_judged():
    a, b = (frame(row(), row(value, metric="seconds_up", repeatable=False)) for value in (1.0, 2.0))
    found = compare_runs(a, b)
    assert [one.place.metric for one in found.differences] == ["psnr_y", "seconds_up"]
    assert (found.compared, found.exit_status) == (1, 0)
    assert "1 of clocks and memory not counted" in render_comparison(found, "A", "B")


def test_order_is_fixed_and_scales_are_numbers():
    rows = [row(scale=scale, method=method) for scale in ("10", "2", "2.5") for method in ("irn", "aidn")]
    places = [one.place for one in compare_runs(frame(*rows), frame(*rows[::-1])).differences]
    assert [Decimal(place.scale) for place in places] == [2, 2, Decimal("2.5"), Decimal("2.5"), 10, 10]
    assert [place.method for place in places[:2]] == ["aidn [small]", "irn [small]"]


def test_metric_names():
    a = frame(row(), row(metric="piqe_lr:channels=bgr"))
    assert only(compare_runs(a, a, ["piqe_lr"])).place.metric == "piqe_lr:channels=bgr"
    with pytest.raises(UnknownNameError, match="did you mean psnr_y"):
        compare_runs(a, a, ["psnr-y"])


@pytest.fixture
def folders(tmp_path):
    a = kept_run.make_run(tmp_path / "a", keep=False)
    b = kept_run.make_run(tmp_path / "b", keep=False)
    with Store(b) as store:
        entry = kept_run.line(1, "nearest", "one", "2")
        entry["values"]["psnr_y"]["value"] += 0.5
        store.append(entry)
        store.append(kept_run.line(99, "irn", "one", "2", weights="small"))
    return a, b


def test_the_verb_and_its_exit_codes(folders, capsys):
    a, b = map(str, folders)
    assert main(["compare", a, b]) == 0
    text = capsys.readouterr().out
    assert "24 numbers in both runs: 23 equal bit for bit, 1 not; 0 cells only in A, 1 only in B" in text
    assert "only in B: irn [small], photos ×2 (rgb8, png): 1 cell: one" in text
    assert main(["compare", a, b, "--fail-if-different"]) == 1
    assert "1 of 24 numbers differ, 2 have no twin" in capsys.readouterr().err
    assert main(["compare", a, a, "--fail-if-different"]) == 0
    assert main(["compare", a, b, "--metrics", "piqe_lr"]) == 0
    capsys.readouterr()
    assert main(["compare", a, b + "x"]) == 2
    assert "there is no run at" in capsys.readouterr().err


def test_json_says_the_same(folders, capsys):
    a, b = map(str, folders)
    assert main(["compare", a, b, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["numbers"], found["equal"], found["different"], found["numbers_only_on_one_side"]) == (24, 23, 1, 2)
    changed = [one for one in found["differences"] if one["equal"] < one["values"]]
    assert [(one["method"], one["metric"], one["mean"], one["largest"], one["largest_image"]) for one in changed] == [
        ("nearest", "psnr_y", 0.25, 0.5, "one")
    ]
    assert [(one["side"], one["method"], one["cells"]) for one in found["one_sided"]] == [("B", "irn [small]", 1)]


def test_a_csv_of_a_run_equals_the_run_bit_for_bit(tmp_path):
    values = np.random.default_rng(0).normal(30, 5, 500)
    lines = [kept_run.line(n, "bicubic", f"i{n}", "2") for n in range(len(values))]
    with Store(tmp_path / "run") as store:
        for line, value in zip(lines, values, strict=True):
            line["values"] = {"psnr_y": {"status": "ok", "version": "1", "value": float(value)}}
        store.extend(lines)
    assert main(["export", "-i", str(tmp_path / "run"), "-o", str(tmp_path / "run.csv.gz")]) == 0
    found = compare_runs(read_table(tmp_path / "run"), read_table(tmp_path / "run.csv.gz"))
    assert (found.compared, found.exit_status) == (500, 0)

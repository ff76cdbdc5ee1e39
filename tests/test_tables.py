"""Leaderboards from synthetic rows, against hand-computed means and scipy's paired intervals."""

import csv
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rescale_bench.api.specs import method_label
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.statistics.paired import summarise
from rescale_bench.tables import leaderboard, leaderboard_page, render
from rescale_bench.tables.model import Row, Table, TableCell, TableColumn, marked, number, paired_text, signed
from rescale_bench.tables.rows import choose_metrics, prepare

METRICS = {
    "psnr_y": {"direction": "up", "unit": "dB", "decimals": 3},
    "psnr_lr": {"direction": "up", "unit": "dB", "decimals": 3},
    "bpp_png": {"direction": "down", "unit": "bit/px", "decimals": 3, "pool": "hr-pixels"},
    "seconds_up": {"direction": "down", "unit": "s", "decimals": 3, "repeatable": False},
    "niqe_blocks": {"direction": "none", "unit": "", "decimals": 0},
}


def row(method, image, value, metric="psnr_y", **changes):
    about = {"unit": "", "decimals": 3, "pool": "mean", "repeatable": True, "direction": "up"} | METRICS.get(metric, {})
    base = {
        "cell": "c", "method": method, "options": "", "weights": "", "weights_sha256": "", "dataset": "Set5",
        "image": image, "scale": "2", "codec": "png", "protocol": "rgb8", "protocol_version": 1, "seed": 0, "tile": "",
        "dtype": "float32", "native": True, "metric": metric, "metric_version": "own/1", "value": value, "status": "ok",
        "error": "", "height": 10, "width": 10, "lr_height": 5, "lr_width": 5,
    }  # fmt: skip
    return {**base, **about, **changes}


def rows(method, values, **changes):
    return [row(method, f"image{index}", value, **changes) for index, value in enumerate(values)]


def frame(*lists):
    return pd.DataFrame([one for each in lists for one in each])


A, B, C = [30.0, 32.0, 37.0], [31.0, 32.5, 36.0], [28.0, 29.0, 30.0]


@pytest.fixture
def board():
    return leaderboard(frame(rows("bicubic", A), rows("lanczos3", B), rows("nearest", C)))


def cells(board, table=0):
    found = board.sections[0].tables[table]
    names = [column.heading for column in found.columns]
    return [dict(zip(names, line.cells, strict=True)) for line in found.rows]


def line(board, method):
    return next(one for one in cells(board) if one["method"].text.startswith(method))


def test_means_and_marks(board):
    assert [one["method"].text for one in cells(board)] == ["lanczos3", "bicubic", "nearest"]
    found = [(one["psnr_y ↑ [dB]"].text, one["psnr_y ↑ [dB]"].mark) for one in cells(board)]
    assert found == [("33.167", "best"), ("33.000", "second"), ("29.000", "")]
    assert line(board, "bicubic")["Δ vs bicubic"].text == "reference"
    assert line(board, "bicubic")["images"].text == "3"


def test_difference_is_the_paired_t_interval(board):
    interval = stats.ttest_rel(B, A).confidence_interval(0.95)
    score = next(one for one in board.scores if one.label == "lanczos3")
    assert (score.difference.low, score.difference.high) == pytest.approx((interval.low, interval.high))
    # Half-width 2.58: one digit beyond its first is one decimal.
    assert line(board, "lanczos3")["Δ vs bicubic"].text == "+0.2 ± 2.6"


def test_protocols_datasets_scales_and_codecs_are_never_mixed():
    parts = [rows("bicubic", A), rows("bicubic", C, protocol="srcnn-y"), rows("bicubic", B, dataset="Set14")]
    parts += [rows("bicubic", [1.0, 2.0, 3.0], codec="jpeg:quality=90"), rows("bicubic", [20.0] * 3, scale="4")]
    parts += [rows("bicubic", [10.0] * 3, protocol_version=2)]
    board = leaderboard(frame(*parts))
    assert len(board.sections) == 5
    assert sorted(score.mean for score in board.scores) == [
        2.0,
        10.0,
        20.0,
        29.0,
        33.0,
        pytest.approx(33.1667, abs=1e-4),
    ]
    titles = [section.setting.title for section in board.sections]
    assert "Set5 · protocol rgb8 version 1 · codec jpeg:quality=90" in titles


def test_a_failed_image_keeps_the_method_out_of_the_ranking():
    # Without its worst image, nearest would look best.
    broken = [*rows("nearest", [50.0, 51.0]), row("nearest", "image2", math.nan, status="failed", error="boom")]
    board = leaderboard(frame(rows("bicubic", A), rows("lanczos3", B), broken))
    found = line(board, "nearest")
    assert found["images"].text == "2/3 (1 failed)"
    assert (found["psnr_y ↑ [dB]"].text, found["psnr_y ↑ [dB]"].mark, found["psnr_y ↑ [dB]"].signs) == (
        "50.500",
        "",
        "‡",
    )
    assert line(board, "lanczos3")["psnr_y ↑ [dB]"].mark == "best"
    assert cells(board)[-1]["method"].text == "nearest"
    notes = "\n".join(board.sections[0].notes)
    assert "nearest: 1 failed of 3 images at ×2." in notes
    assert "Δ psnr_y of nearest to bicubic over 2 images only at ×2." in notes
    # Paired over the two images that both have: (50 − 30, 51 − 32).
    assert next(one for one in board.scores if one.label == "nearest").difference.mean == 19.5


def test_images_without_any_row_count_as_missing():
    board = leaderboard(frame(rows("bicubic", A), rows("lanczos3", B[:2])))
    assert line(board, "lanczos3")["images"].text == "2/3"
    assert "lanczos3: 1 not measured of 3 images at ×2." in board.sections[0].notes


def test_a_method_absent_at_a_scale_shows_dashes():
    board = leaderboard(frame(rows("bicubic", A), rows("bicubic", A, scale="4"), rows("irn", B, scale="4")))
    absent = next(one for one in cells(board) if one["method"].text == "irn" and one["scale"].text == "×2")
    assert [cell.text for cell in absent.values()] == ["×2", "irn", "–", "–", "–"]


def test_an_image_that_changed_between_two_methods_is_never_paired():
    old, new = "a" * 64, "b" * 64
    first = [row("bicubic", name, 30.0, image_sha256=old) for name in ("one", "two", "three")]
    second = [row("irn", name, 33.0, image_sha256=new if name == "one" else old) for name in ("one", "two", "three")]
    assert sorted(set(prepare(frame(first, second))["image"])) == ["one {aaaaaaaa}", "one {bbbbbbbb}", "three", "two"]
    text = render(leaderboard(frame(first, second)), "plain")
    assert len(re.findall(r"3/4", text)) == 2
    # The same method measured again on the new content: the latest counts, and all are comparable.
    again = [row("bicubic", "one", 31.0, image_sha256=new)]
    assert set(prepare(frame(first, second, again))["image"]) == {"one", "two", "three"}


def test_infinite_values_are_counted_and_left_out():
    board = leaderboard(frame(rows("bicubic", A), rows("lanczos3", [math.inf, 32.5, 36.0]), rows("nearest", C)))
    found = line(board, "lanczos3")["psnr_y ↑ [dB]"]
    assert (found.text, found.mark, found.signs) == ("34.250", "", "‡")
    assert any("1 of 3 images infinite" in note and "lanczos3" in note for note in board.sections[0].notes)
    assert line(board, "bicubic")["psnr_y ↑ [dB]"].mark == "best"


def test_all_infinite_is_infinite_and_best():
    board = leaderboard(
        frame(rows("bicubic", [math.inf] * 3, metric="psnr_lr"), rows("irn", [40.0, 41.0, 42.0], metric="psnr_lr"))
    )
    assert [(one["psnr_lr ↑ [dB]"].text, one["psnr_lr ↑ [dB]"].mark) for one in cells(board)] == [
        ("∞", "best"),
        ("41.000", "second"),
    ]
    assert json.loads(render(board, "json"))[0]["mean"] == "inf"


def test_undefined_for_all_leaves_the_ranking_alone():
    short = [row(name, "image2", math.nan, status="undefined", error="too small") for name in ("bicubic", "irn")]
    board = leaderboard(frame(rows("bicubic", A[:2]), rows("irn", B[:2]), short))
    assert line(board, "irn")["psnr_y ↑ [dB]"].mark == "best"
    assert line(board, "irn")["images"].text == "3"  # it ran on all; one value is undefined
    assert any(
        "1 of 3 images without a defined value" in note and "every method" in note for note in board.sections[0].notes
    )


def test_ties_by_printed_value_share_the_mark():
    board = leaderboard(frame(rows("a", [30.00041] * 3), rows("b", [30.00039] * 3), rows("c", [29.0] * 3)))
    assert [one["psnr_y ↑ [dB]"].mark for one in cells(board)] == ["best", "best", "second"]


def test_a_metric_that_adds_up_has_the_sum_and_no_mean():
    made = leaderboard(frame(rows("bicubic", [1.0, 2.5], metric="storage_mb", pool="sum", direction="down")))
    assert cells(made)[0]["storage_mb ↓"].text == "3.500"
    assert "storage_mb: the sum over the images." in made.sections[0].notes
    assert made.records[0]["mean"] == 3.5


def test_lower_is_better_and_pooled_stands_beside_the_mean():
    sizes = [{"height": 10, "width": 10}, {"height": 30, "width": 10}]
    parts = [
        [row(name, f"image{i}", value, metric="bpp_png", **sizes[i]) for i, value in enumerate(values)]
        for name, values in (("bicubic", [2.0, 4.0]), ("irn", [1.0, 3.0]))
    ]
    found = line(leaderboard(frame(*parts)), "irn")
    assert (found["bpp_png ↓ [bit/px]"].text, found["bpp_png ↓ [bit/px]"].mark) == ("2.000", "best")
    assert found["pooled"].text == "2.500"  # (1·100 + 3·300) / 400


def test_clocks_and_directionless_metrics_get_no_marks():
    parts = [
        rows(name, values, metric=m) for m in ("seconds_up", "niqe_blocks") for name, values in (("a", A), ("b", C))
    ]
    assert not any(cell.mark for one in cells(leaderboard(frame(*parts))) for cell in one.values())


def test_random_weights_are_marked_and_unranked():
    board = leaderboard(
        frame(rows("bicubic", A), rows("lanczos3", C), rows("irn", [99.0] * 3, weights="random")), reference="bicubic"
    )
    found = line(board, "irn")
    assert found["method"].text == "irn [random: not publishable]"
    assert found["psnr_y ↑ [dB]"].mark == ""
    for form in ("plain", "markdown", "latex", "html", "csv"):
        assert "not publishable" in render(board, form)
    assert [one["publishable"] for one in json.loads(render(board, "json")) if "irn" in one["method"]] == [False]


def test_a_mixture_with_random_weights_is_random_too():
    assert method_label("bicubic+edsr", "", "published+random").endswith("not publishable]")
    assert method_label("irn", "z=zero", "published") == "irn:z=zero [published]"
    assert method_label("irn", "", "randomised-crop") == "irn [randomised-crop]"


def test_seeds_are_averaged_per_image_first():
    parts = [rows("irn", [30.0, 40.0], seed=0), rows("irn", [32.0, 42.0], seed=1), rows("bicubic", [30.0, 40.0])]
    score = next(one for one in leaderboard(frame(*parts)).scores if one.label == "irn")
    assert score.finite == {"image0": 31.0, "image1": 41.0}
    assert score.difference.n == 2


def test_a_cell_measured_twice_counts_once_and_the_later_one_wins():
    score = leaderboard(frame(rows("bicubic", A), rows("bicubic", C))).scores[0]
    assert score.mean == 29.0


def test_rows_that_would_share_a_label_are_told_apart():
    parts = [
        rows("irn", A, weights="my", weights_sha256="a" * 64),
        rows("irn", B, weights="my", weights_sha256="b" * 64),
    ]
    assert {one.label for one in leaderboard(frame(*parts)).scores} == {"irn [my] {aaaaaaaa}", "irn [my] {bbbbbbbb}"}
    other = [rows("irn", A, weights="my", weights_sha256="a" * 64), rows("irn", B, scale="4", weights="my")]
    assert {one.label for one in leaderboard(frame(*other)).scores} == {"irn [my]"}


def test_two_implementations_of_a_metric_are_two_columns():
    parts = [rows("bicubic", A, metric_version="own/1"), rows("bicubic", B, metric_version="own/2")]
    assert {one.metric for one in leaderboard(frame(*parts)).scores} == {"psnr_y (own/1)", "psnr_y (own/2)"}


def test_reference_by_label_where_several_share_the_name():
    parts = [rows("irn", A, weights="small"), rows("irn", B, weights="published"), rows("bicubic", C)]
    board = leaderboard(frame(*parts), reference="irn [small]")
    score = next(one for one in board.scores if one.label == "irn [published]")
    assert score.difference.mean == pytest.approx(np.mean(np.subtract(B, A)))
    # "irn" alone would be ambiguous: no differences rather than wrong ones.
    assert all(one.difference is None for one in leaderboard(frame(*parts), reference="irn").scores)


def test_metrics_are_chosen_in_order_and_misspelt_ones_named():
    prepared = prepare(frame(rows("bicubic", A), rows("bicubic", A, metric="piqe_lr:channels=bgr")))
    assert choose_metrics(prepared, ["piqe_lr", "psnr_y"]) == ["piqe_lr:channels=bgr", "psnr_y"]
    with pytest.raises(UnknownNameError, match="psnr_y"):
        choose_metrics(prepared, ["psnr_z"])


def test_an_empty_run_is_refused():
    with pytest.raises(UsageError, match="no rows"):
        leaderboard(pd.DataFrame())


SCALES = [f"{1 + index / 10:g}" for index in range(1, 13)]


def sweep():
    parts = []
    for scale in SCALES:
        parts.append(rows("bicubic", A, scale=scale))
        if scale != "1.5":
            parts.append(rows("irn-type3", B, scale=scale, native=scale == "2"))
    return frame(*parts)


def test_sweep_is_a_matrix_that_says_where_a_method_is_not_native():
    (section,) = leaderboard(sweep(), metrics=["psnr_y"]).sections
    assert [column.heading for column in section.tables[0].columns][1:] == [f"×{scale}" for scale in SCALES[:6]]
    assert [column.heading for column in section.tables[1].columns][1:] == [f"×{scale}" for scale in SCALES[6:]]
    found = {line.method: line.cells[1:] for line in section.tables[0].rows}
    assert [cell.signs for cell in found["irn-type3"]] == ["†"] * 4 + [""] + ["†"]
    assert found["irn-type3"][4].text == "–"
    assert found["bicubic"][4].mark == ""  # alone at ×1.5
    assert [cell.mark for cell in found["bicubic"][:2]] == ["second", "second"]
    assert any("not native" in note for note in section.notes)


def test_long_sweeps_become_matrices_in_the_leaderboard():
    board = leaderboard(sweep())
    assert len(board.sections[0].tables) == 2
    assert "×1.1" in render(board, "plain")
    assert len(board.scores) == 23


def test_plain_aligns_the_decimals(board):
    lines = [text for text in render(board).splitlines() if re.match(r" +×2", text)]
    ends = {text.index(value) + len(value) for text, value in zip(lines, ("*33.167", "_33.000", "29.000"), strict=True)}
    assert len(ends) == 1
    assert "* best, _ second" in render(board)


def test_markdown_marks_and_escapes():
    board = leaderboard(frame(rows("a|b", A), rows("bicubic", C), rows("c<script>", [1.0] * 3)))
    text = render(board, "markdown")
    assert "**33.000**" in text
    assert "<u>29.000</u>" in text
    assert r"a\|b" in text
    assert r"c\<script\>" in text
    table = [each for each in text.splitlines() if each.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", each)) for each in table}) == 1  # as many columns in each line


def test_latex_is_balanced_and_escaped():
    parts = [rows("a_b&c%d#e{f}~^$\\", A), rows("bicubic", C, native=False), rows("x", [1.0, 2.0, 3.0])]
    text = render(leaderboard(frame(*parts)), "latex")
    for name in ("table", "tabular", "minipage"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    assert r"a\_b\&c\%d\#e\{f\}\textasciitilde{}\textasciicircum{}\$\textbackslash{}" in text
    assert r"\textbf{33.000}" in text
    assert r"\underline{29.000}" in text
    assert r"bicubic$^{\dagger}$" in text
    assert r"$-$27.000 $\pm$ 0.000" in text
    assert text.isascii()
    plain = re.sub(r"\\[\\{}$&%#_]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0].splitlines()
    counts = {len(re.findall(r"(?<!\\)&", each)) for each in body if each.endswith(r"\\")}
    assert counts == {4}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))


def test_html_is_well_formed_and_escaped():
    parser = Tags()
    parser.feed(render(leaderboard(frame(rows("<b>&", A), rows("bicubic", C), rows("x", [1.0] * 3))), "html"))
    parser.close()
    assert parser.open == []
    assert ("td", "<b>&") in parser.texts
    assert ("strong", "33.000") in parser.texts
    assert ("u", "29.000") in parser.texts


def test_csv_and_json_hold_full_precision(board):
    found = {one["method"]: one for one in csv.DictReader(io.StringIO(render(board, "csv")))}
    assert float(found["lanczos3"]["mean"]) == pytest.approx(sum(B) / 3, abs=0)
    assert float(found["lanczos3"]["difference"]) == pytest.approx(np.mean(np.subtract(B, A)))
    assert (found["lanczos3"]["wins"], found["lanczos3"]["pairs"]) == ("2", "3")
    data = json.loads(render(board, "json"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert {one["method"]: one["mean"] for one in data} == {"bicubic": 33.0, "lanczos3": sum(B) / 3, "nearest": 29.0}


def test_unknown_format(board):
    with pytest.raises(UnknownNameError, match="markdown"):
        render(board, "markdwn")


def test_page_is_reproducible_and_says_how_it_was_made(board):
    text = leaderboard_page(board, "rescale-bench run\nrescale-bench export")
    assert "`rgb8` (version 1)" in text
    assert "Set5 (3 images)" in text
    assert "      rescale-bench run\n      rescale-bench export\n" in text
    data = frame(rows("bicubic", A), rows("lanczos3", B), rows("nearest", C))
    shuffled = data.sample(frac=1, random_state=3)
    assert leaderboard_page(leaderboard(shuffled), "rescale-bench run\nrescale-bench export") == text


def test_a_bare_table_is_enough():
    bare = pd.DataFrame(
        [{"method": "bicubic", "dataset": "d", "image": "i", "scale": "2", "metric": "m", "value": 1.5, "status": "ok"}]
    )
    assert "1.500" in render(leaderboard(bare))


def test_rows_read_back_from_csv_give_the_same_table(tmp_path):
    data = frame(rows("bicubic", A), rows("irn", B, native=False, weights="published"))
    data.to_csv(tmp_path / "run.csv", index=False)
    back = pd.read_csv(tmp_path / "run.csv", dtype={"scale": str}, keep_default_na=False)
    assert render(leaderboard(back)) == render(leaderboard(data))


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(1.23456, 3, "1.235"), (None, 3, "–"), (math.inf, 3, "∞"), (8.66e11, 0, "8.66e+11"), (1668000.0, 0, "1668000")],
)
def test_numbers(value, decimals, text):
    assert number(value, decimals) == text


def test_no_negative_zero():
    assert number(-0.00001, 3) == "0.000"


# --- numbers ---------------------------------------------------------------------


def test_cells_keep_the_numbers_that_they_print(board):
    (section,) = board.sections
    (table,) = section.tables
    columns = {column.heading: column for column in table.columns}
    psnr, gap = columns["psnr_y ↑ [dB]"], columns["Δ vs bicubic"]
    assert (psnr.metric, psnr.direction, psnr.unit, psnr.decimals) == ("psnr_y", "up", "dB", 3)
    assert (gap.metric, gap.direction, gap.kind) == ("psnr_y", "up", "difference")
    found = line(board, "lanczos3")
    assert found["psnr_y ↑ [dB]"].value == pytest.approx(sum(B) / 3, abs=0)
    assert found["Δ vs bicubic"].value == pytest.approx(np.mean(np.subtract(B, A)))
    assert (found["scale"].value, found["images"].value, found["method"].value) == (2, 3, None)
    assert line(board, "bicubic")["Δ vs bicubic"].value == 0


def test_missing_and_infinite_values_keep_their_number():
    broken = [row("irn", "image0", math.nan, status="undefined")]
    board = leaderboard(frame(rows("bicubic", [math.inf]), broken))
    assert (line(board, "bicubic")["psnr_y ↑ [dB]"].value, line(board, "irn")["psnr_y ↑ [dB]"].value) == (
        math.inf,
        None,
    )


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.5, 2, "+0.50"), (-4.354, 2, "-4.35"), (0.0, 2, "+0.00"), (1.8e-15, 2, "+1.8e-15"), (-1e-4, 3, "-1.0e-04"),
     (math.inf, 2, "+∞"), (-math.inf, 2, "-∞"), (None, 2, "–")],
)  # fmt: skip
def test_differences_are_signed_and_never_vanish(value, decimals, text):
    assert signed(value, decimals) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.5, 0.6, 0.1], "+0.40 ± 0.66"), ([0.001, -0.002, 0.3], "+0.10 ± 0.43"), ([0.5], "+0.500 (n = 1)"),
     ([-1.0, -1.0], "-1.000 ± 0.000"), ([4e-15, 0.0], "+2.0e-15 ± 2.5e-14"), ([0.3, -0.3001], "-0.0 ± 3.8")],
)  # fmt: skip
def test_paired_differences_have_a_digit_beyond_their_half_width(values, text):
    assert paired_text(summarise(values), 3) == text


def test_only_ranked_values_between_two_rules_are_marked():
    column = TableColumn("a", metric="a", direction="down")
    cells = [TableCell(f"{value}", value, ranked) for value, ranked in ((2, True), (1, False), (3, True), (5, True))]
    table = marked(Table("", (column,), tuple(Row((cell,), ruled=index == 3) for index, cell in enumerate(cells))))
    assert [row.cells[0].mark for row in table.rows] == ["best", "", "second", ""]


def test_other_weights_of_a_method_that_serve_a_scale_leave_no_empty_row():
    lost = rows("edsr", [math.nan] * 3, scale="4", weights="small", status="failed", error="no memory")
    text = render(leaderboard(frame(
        rows("irn", A, weights="pilot"), rows("irn", A, scale="4", weights="small"), rows("nearest", C),
        rows("bicubic", B), rows("bicubic", B, scale="4"), rows("edsr", A, weights="pilot"), lost,
    )))  # fmt: skip
    named = [tuple(line.split()[:3]) for line in text.splitlines() if line.lstrip().startswith("×")]
    assert ("×2", "irn", "[pilot]") in named
    assert ("×4", "irn", "[small]") in named
    assert not {("×2", "irn", "[small]"), ("×4", "irn", "[pilot]")} & set(named)
    assert ("×4", "nearest", "–") in named
    assert ("×4", "edsr", "[small]") in named

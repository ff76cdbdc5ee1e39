"""The choice within limits: fronts by brute force, ranks and limits by hand, the verb from photographs to answer."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_tables import row

from rescale_bench.cli import main
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.plots.front import front_figure
from rescale_bench.tables import render
from rescale_bench.tables.choices import Limits, answers, choice_board, pareto, unused

IMAGES = 7


def made(method, codec, bits, quality, scale="2", seconds=0.01, images=IMAGES, **changes):
    """Give rows with these means: a candidate's values differ between images, and its differences to others do not."""
    for image in range(images):
        spread = image - (images - 1) / 2
        values = {"psnr_y": quality + spread, "bpp": bits * (1 + spread / 10), "seconds_down": seconds,
                  "seconds_up": 3 * seconds}  # fmt: skip
        for metric, value in values.items():
            about = {"direction": "up"} if metric == "psnr_y" else {"direction": "down"}
            about |= {"pool": "hr-pixels"} if metric == "bpp" else {}
            sizes = {"height": 100, "width": 200}
            yield row(method, f"i{image}", value, metric, codec=codec, scale=scale, **sizes, **about, **changes)


def frame(*parts):
    return pd.DataFrame([line for part in parts for line in part])


@pytest.fixture
def rows():
    return frame(
        made("irn", "jpeg:quality=20", 0.2, 30), made("irn", "jpeg:quality=60", 0.4, 34),
        made("irn", "jpeg:quality=90", 0.8, 38), made("irn", "avif:quality=60", 0.45, 36),
        made("bicubic", "jpeg:quality=60", 0.3, 31), made("bicubic", "jpeg:quality=90", 0.6, 32),
        made("bicubic", "jpeg:quality=90", 0.35, 29, scale="4"),
    )  # fmt: skip


def names(candidates):
    return [each.name for each in candidates]


def test_the_best_setting_of_each_method_and_codec_within_the_limit_is_ranked(rows):
    (answer,) = answers(rows, "psnr_y", Limits(0.5))
    assert [rank.label for rank in answer.ranks] == [
        "irn ×2 avif:quality=60", "irn ×2 jpeg:quality=60", "bicubic ×2 jpeg:quality=60",
    ]  # fmt: skip
    assert [rank.difference and rank.difference.mean for rank in answer.ranks] == [None, -2.0, -5.0]
    # Seven equal differences of one sign: 2 / 2⁷, three pairs after Holm.
    assert answer.ranks[2].p == pytest.approx(3 * 2 / 2**7)
    assert (answer.ranks[0].best, answer.ranks[0].worst) == (1, 1)
    assert answer.best.rate.mean == pytest.approx(0.45)
    assert answer.next_beyond(answer.named("irn ×2 jpeg:quality=60")).codec == "jpeg:quality=90"
    assert answer.next_beyond(answer.best) is None


def test_too_many_pairs_for_the_images_is_said(rows):
    (answer,) = answers(rows[rows["image"] != "i6"], "psnr_y", Limits(0.5))
    assert answer.images == 6
    assert {rank.text for rank in answer.ranks} == {"1–3"}
    assert "after Holm over 3 pairs no p can fall below 0.094" in render(choice_board([answer]))
    assert "after Holm" not in render(choice_board(answers(rows, "psnr_y", Limits(0.5)))).replace("Holm over all", "")


def test_the_front_holds_what_nothing_beats():
    rng = np.random.default_rng(2)
    points = [(0.1 + bits, 30 + 5 * quality) for bits, quality in rng.random((30, 2))]
    rows = frame(*(made("irn", f"jpeg:quality={place}", *point) for place, point in enumerate(points)))
    (answer,) = answers(rows, "psnr_y", Limits(10))
    best = [
        place for place, (bits, quality) in enumerate(points)
        if not any(b <= bits and q >= quality and (b, q) != (bits, quality) for b, q in points)
    ]  # fmt: skip
    assert {each.codec for each in answer.front} == {f"jpeg:quality={place}" for place in best}
    assert [each.rate.mean for each in answer.front] == sorted(points[place][0] for place in best)
    falling = pareto(answer.candidates, -1)
    assert falling[0].rate.mean == min(bits for bits, _ in points)
    assert falling[-1].mean == pytest.approx(min(quality for _, quality in points))


def test_time_is_per_megapixel_of_hr_down_and_up(rows):
    slow = frame(made("slow", "jpeg:quality=60", 0.1, 50, seconds=1.0))
    (answer,) = answers(pd.concat([rows, slow]), "psnr_y", Limits(0.5, seconds=5))
    # 0.04 s for 0.02 megapixels
    assert sorted({round(each.seconds, 9) for each in answer.candidates}) == [2.0, 200.0]
    assert answer.best.method == "irn"
    assert "slow" not in {each.method for each in answer.front}
    untimed = rows[~((rows["method"] == "irn") & (rows["metric"] == "seconds_up"))]
    (answer,) = answers(untimed, "psnr_y", Limits(0.5, seconds=5))
    assert answer.best.method == "bicubic"
    assert any(gap.startswith("Without a time") and "irn ×2 jpeg:quality=20" in gap for gap in answer.gaps)
    with pytest.raises(UsageError, match="holds no seconds_down and seconds_up"):
        answers(rows[~rows["metric"].str.startswith("seconds")], "psnr_y", Limits(0.5, seconds=5))


def test_what_was_not_tried_is_said(rows):
    lost = frame(made("lost", "jpeg:quality=60", 0.1, 50, images=5), made("drawn", "png", 0.1, 60, weights="random"))
    lossless = frame(made("direct", "png", 0.4, np.inf, scale="1"))
    (answer,) = answers(pd.concat([rows, lost, lossless]), "psnr_y", Limits(0.5))
    assert answer.best.method == "irn"
    text = " ".join(answer.gaps)
    assert "Left out, measured on 5 of 7 images: lost ×2 jpeg:60." in text
    assert "Left out, drawn weights or code without a version: drawn [random: not publishable] ×2 png." in text
    assert "Left out, lossless on 7 of 7 images, 0.4 bit/px: direct ×1 png." in text
    assert "bicubic ×4 with 4 of 5 codec settings" in text
    assert "bicubic ×1 with" not in text
    assert "direct ×2 with" not in text
    assert unused(rows, ["jpeg", "avif", "jxl"], ["irn", "bicubic", "aidn"]) == (
        "Not in this run: the codecs jxl, and other methods of `list methods`."
    )


def test_nothing_within_the_limit_and_bad_questions(rows):
    (answer,) = answers(rows, "psnr_y", Limits(0.1))
    assert (answer.ranks, answer.best) == ((), None)
    assert "No measured candidate has at most 0.1 bit/px." in render(choice_board([answer]))
    assert len(names(answer.front)) == 5
    with pytest.raises(UnknownNameError):
        answers(rows, "psnr_y", Limits(1), ["Set14"])
    with pytest.raises(UsageError, match="holds no bpp"):
        answers(rows[rows["metric"] != "bpp"], "psnr_y", Limits(1))
    with pytest.raises(UsageError, match="no better side"):
        answers(rows.assign(direction="none"), "psnr_y", Limits(1))


@pytest.mark.parametrize("form", ["markdown", "latex", "html", "csv", "json"])
def test_every_format(rows, form):
    text = render(choice_board(answers(rows, "psnr_y", Limits(0.5))), form)
    assert "irn" in text
    assert "0.45" in text


def test_the_figure_marks_limit_and_answer(rows):
    figure = front_figure(answers(rows, "psnr_y", Limits(0.5)))
    (axes,) = figure.axes
    assert any(np.allclose(line.get_xdata(), 0.5) for line in axes.lines)
    (ring,) = (line for line in axes.lines if line.get_markersize() == 12)
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (pytest.approx(0.45), pytest.approx(36))


def test_the_verb_measures_photographs_and_then_answers_from_stored_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos_of_mine").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save("photos_of_mine/a.png")
    asked = ["choose", "-d", "photos_of_mine", "-m", "direct,bicubic", "-s", "2", "--codecs", "jpeg:20,jpeg:90", "-q",
             "--max-bpp", "2", "--format", "json"]  # fmt: skip
    assert main(asked) == 0
    first = json.loads(capsys.readouterr().out)
    assert {line["codec"] for line in first} == {"jpeg:quality=20", "jpeg:quality=90"}
    assert {(line["method"], line["scale"]) for line in first} == {("bicubic", "2"), ("direct", "1")}
    assert main(["choose", "runs/choose", "--max-bpp", "2", "--format", "json", "--plot", "front.svg"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "front.svg").stat().st_size > 1_000
    assert main(["choose", "runs/choose", "--max-bpp", "0.001"]) == 4
    capsys.readouterr()
    assert main(["choose", "runs/choose", "-m", "irn", "--max-bpp", "2"]) == 2
    assert "--methods: a stored run is read as it is" in capsys.readouterr().err
    assert main(["choose", "runs/choose", "--max-bpp", "-1"]) == 2
    assert "--max-bpp: -1.0 is not above 0" in capsys.readouterr().err

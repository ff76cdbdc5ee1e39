"""Worst image, percentile, median and leave-one-out, against NumPy and against means computed anew."""

import numpy as np
import pandas as pd
import pytest
from test_tables import frame, row, rows

from rescale_bench.cli import main
from rescale_bench.report import read_source
from rescale_bench.report.significance import tails
from rescale_bench.tables import render
from rescale_bench.tables.tails import tails_board, tails_of

VALUES = np.random.default_rng(1).normal(30, 4, size=23)


def named(values):
    return {f"i{place:02}": float(value) for place, value in enumerate(values)}


@pytest.mark.parametrize("count", [1, 5, 20, 23])
@pytest.mark.parametrize("direction", ["up", "down", "none"])
def test_against_numpy(count, direction):
    values = VALUES[:count]
    found = tails_of(named(values), direction)
    assert found.mean == pytest.approx(values.mean())
    assert found.median == pytest.approx(np.median(values))
    assert found.tail == pytest.approx(np.percentile(values, 95 if direction == "down" else 5))
    worst = {"up": values.argmin, "down": values.argmax}.get(direction)
    assert found.worst == ((f"i{worst():02}", values[worst()]) if worst else None)
    if count == 1:
        assert found.moving is None
        return
    moved = [values.mean() - np.delete(values, place).mean() for place in range(count)]
    most = int(np.argmax(np.abs(moved)))
    assert found.moving == (f"i{most:02}", pytest.approx(moved[most]))


def cells(text, method):
    return next(" ".join(line.split()) for line in text.splitlines() if method in line.split())


def test_the_table():
    board = tails_board(frame(rows("irn", [40.0, 41, 42, 57]), rows("bicubic", [30.0, 32, 34, 20])))
    text = render(board)
    assert cells(text, "irn") == "×2 irn 4 45.000 41.500 40.150 40.000 image0 +4.000 image3"
    assert cells(text, "bicubic") == "×2 bicubic 4 29.000 31.000 21.500 20.000 image3 -3.000 image3"
    assert "5th percentile" in text
    record = next(line for line in board.records if line["method"] == "irn")
    assert (record["worst_image"], record["moving_image"], record["moves_mean"]) == ("image0", "image3", 4.0)


def test_where_less_is_better_the_bad_end_is_the_upper_one():
    bits = [row("irn", f"i{place}", value, "bpp_png") for place, value in enumerate([1.0, 2.0, 4.0])]
    text = render(tails_board(pd.DataFrame(bits), ["bpp_png"]))
    assert "95th percentile" in text
    assert " 4.000 i2 " in cells(text, "irn")


def test_infinite_and_failed_images_stand_outside_and_are_counted():
    lost = [row("irn", "image4", float("inf")), row("irn", "image5", float("nan"), status="failed", error="no")]
    text = render(tails_board(frame(rows("irn", [30.0, 31.0, 32.0]), lost, rows("bicubic", [20.0, 21, 22, 1, 23, 24]))))
    assert cells(text, "irn") == "×2 irn 3 ‡31.000 31.000 30.100 30.000 image0 -0.500 image0"
    assert "1 of 6 images infinite" in text
    assert "1 failed" in text


def test_the_verb(tmp_path, capsys):
    path = str(tmp_path / "rows.parquet")
    frame(rows("irn", [30.0, 31.0]), rows("irn", [0.5, 0.6], metric="bpp_png")).to_parquet(path)
    assert main(["table", "-i", path, "--stats"]) == 0
    assert "bpp" not in capsys.readouterr().out
    assert main(["table", "-i", path, "--stats", "--metrics", "bpp_png"]) == 0
    assert "95th percentile" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["table", "-i", path, "--stats", "--rank"])


def test_the_report_shows_the_same_tables(tmp_path):
    path = tmp_path / "rows.parquet"
    made = frame(rows("irn", [30.0, 31.0]), *(rows("irn", [20.0, 21.0], scale=scale) for scale in ("3", "4", "5", "6")))
    made.to_parquet(path)
    source = read_source(path, made)
    (section,) = tails(source, "psnr_y")
    assert [line.scale for line in section.tables[0].rows] == ["2", "3", "4"]
    assert section.tables == tails_board(made[made["scale"].isin(["2", "3", "4"])]).sections[0].tables
    assert tails(source, "psnr_rgb") == ()

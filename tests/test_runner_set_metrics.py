"""Metrics of whole data sets, and both kinds of metric from a plugin outside: measured, tabulated, checked, merged."""

import json
import shutil

import numpy as np
import pytest

from rescale_bench.cli import main
from rescale_bench.images.files import read_image, write_png
from rescale_bench.runs.folder import read_table
from rescale_bench.runs.sets import current, digest, image_sets
from rescale_bench.tables import leaderboard

PLUGIN = """
import numpy as np
from rescale_bench import Features, Metric, SetMetric, UndefinedValueError, hookimpl

def contrast(sample, options):
    return float(sample.sr.float().std())

def palette(pixels):
    return pixels.reshape(-1, 3).mean(axis=0)

def gap(hr, sr):
    return float(np.abs(hr - sr).max())

def broken(hr, sr):
    raise ZeroDivisionError("nothing to divide by")

MEAN = Features("mean colours", palette)

@hookimpl
def rescale_bench_metrics():
    yield Metric(name="contrast", summary="deviation of HR'", title="contrast of HR'", direction="up", judges="hr",
                 version="mine/1", order=15, tolerance="2", measure=contrast)
    yield SetMetric(name="gap", summary="largest gap of mean colours", title="colour gap", direction="down",
                    version="mine/1", decimals=4, features=MEAN, distance=gap, tolerance="0.5",
                    validity=lambda images: f"gap over {images} images says little.")
    yield SetMetric(name="odd", summary="never works", direction="down", version="mine/1", features=MEAN,
                    distance=broken)
"""
GRID = ["-m", "nearest,bicubic", "-s", "2", "-q"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A plugin file, a data set of four pictures, and a run of three of them with a set metric."""
    folder = tmp_path_factory.mktemp("sets")
    (folder / "mine.py").write_text(PLUGIN)
    (folder / "data").mkdir()
    generator = np.random.default_rng(0)
    for index in range(4):
        write_png(folder / "data" / f"p{index}.png", generator.integers(0, 256, (32, 40, 3), dtype=np.uint8))
    assert run(folder, "psnr_y,contrast,gap", "--keep", "--limit", "3") == 0
    return folder


def run(home, metrics, *more, output="run"):
    arguments = [*GRID, "-d", str(home / "data"), "-o", str(home / output), "--plugin", str(home / "mine.py")]
    return main(["run", *arguments, "--metrics", metrics, *more])


@pytest.fixture
def mine(home, tmp_path):
    return shutil.copytree(home, tmp_path / "home")


def wholes(folder):
    rows = read_table(folder)
    return rows[rows["image"] == ""]


def means(frame):
    return {(score.label, score.metric): score for score in leaderboard(frame).scores}


def test_the_value_is_that_of_the_stored_pictures(home):
    rows = read_table(home / "run")
    of_set = wholes(home / "run").set_index("method")
    assert set(of_set["metric"]) == {"gap"}
    for method in ("nearest", "bicubic"):
        cells = set(rows.loc[(rows["method"] == method) & (rows["image"] != ""), "cell"])
        hr, sr = (
            np.array([read_image(home / "run/outputs" / f"{cell}-{kind}.png").pixels.mean((0, 1)) for cell in cells])
            for kind in ("hr", "sr")
        )
        assert len(cells) == 3
        assert of_set.loc[method, "value"] == pytest.approx(np.abs(hr - sr).max(), abs=1e-9)
        assert of_set.loc[method, "cell"] == digest(cells)


def test_a_second_run_measures_nothing(mine):
    before = (mine / "run/journal.jsonl").read_bytes()
    assert run(mine, "psnr_y,contrast,gap", "--keep", "--limit", "3") == 0
    assert (mine / "run/journal.jsonl").read_bytes() == before


def test_tables_keep_it_apart_from_means_and_say_what_it_is_worth(home, capsys):
    assert main(["table", "-i", str(home / "run")]) == 0  # without the plugin
    text = capsys.readouterr().out
    assert text.index("psnr_y") < text.index("contrast")
    means_of_images, of_sets = text.split("Whole data sets")
    assert "gap" not in means_of_images
    assert "gap over 3 images says little. gap: of mean colours" in of_sets
    score = means(read_table(home / "run"))["nearest", "gap"]
    value = wholes(home / "run").set_index("method").loc["nearest", "value"]
    assert (score.mean, score.images, len(score.finite), score.difference) == (value, 3, 3, None)
    assert score.about.title == "colour gap"
    assert score.ranked
    assert means(read_table(home / "run"))["nearest", "psnr_y"].images == 3


def test_a_table_of_other_cells_shows_no_value(home, mine, capsys):
    rows = read_table(home / "run")
    assert len(current(rows)) == len(rows)
    fewer = rows[rows["image"] != "p1"]
    assert "" not in set(current(fewer)["image"])
    assert ("nearest", "gap") not in means(fewer)
    assert [len(one.cells) for one in image_sets(fewer)] == [2, 2]
    # The run grows; what was measured of three pictures is not that of four, and is there again for the three.
    assert run(mine, "psnr_y,contrast", "--keep") == 0
    assert main(["table", "-i", str(mine / "run")]) == 0
    text = capsys.readouterr().out
    assert "Whole data sets" not in text
    assert "run `rescale-bench distribution` again" in text
    assert run(mine, "psnr_y,gap", "--keep", "--limit", "3") == 0
    assert "colour" in capsys.readouterr().out
    assert main(["distribution", "-i", str(mine / "run"), "--metrics", "gap", "--plugin", str(mine / "mine.py")]) == 0
    assert "gap over 4 images" in capsys.readouterr().out
    names = [f"p{index}" for index in range(4)]
    sets = [*cells_of(mine / "run", names[:3]), *cells_of(mine / "run", names)]
    assert set(wholes(mine / "run")["cell"]) == set(map(digest, sets))


def cells_of(folder, images):
    """The keys of each method's first pictures."""
    rows = read_table(folder)
    return [set(part["cell"]) for _, part in rows[rows["image"].isin(images)].groupby("method")]


def test_what_breaks_is_one_failed_value(mine, capsys):
    assert run(mine, "psnr_y,gap,odd", "--keep", "--limit", "3", output="broken") == 1
    error = capsys.readouterr().err
    assert "odd: ZeroDivisionError: nothing to divide by" in error
    assert "all images" in error
    found = wholes(mine / "broken").set_index(["method", "metric"])
    assert set(found["status"]) == {"ok", "failed"}
    assert found.loc[("nearest", "gap"), "status"] == "ok"


def test_check_takes_the_tolerances_of_an_absent_plugin(home, tmp_path, capsys):
    rows = read_table(home / "run")

    def outcome(metric, worse):
        other = rows.copy()
        other.loc[other["metric"] == metric, "value"] += worse
        other.to_csv(tmp_path / "other.csv", index=False)
        capsys.readouterr()
        return main(["check", "-i", str(tmp_path / "other.csv"), "--baseline", str(home / "run")])

    assert [outcome("contrast", worse) for worse in (-1.9, -2.1)] == [0, 3]
    assert [outcome("gap", worse) for worse in (0.4, 0.6)] == [0, 3]


def test_files_hold_it_and_other_verbs_cope(home, tmp_path, capsys):
    for name in ("rows.csv", "rows.parquet", "rows.json"):
        assert main(["export", "-i", str(home / "run"), "-o", str(tmp_path / name)]) == 0
    for name in ("rows.csv", "rows.parquet"):
        assert (
            means(read_table(tmp_path / name))["bicubic", "gap"].mean
            == means(read_table(home / "run"))["bicubic", "gap"].mean
        )
    assert sum(row["image"] == "" for row in json.loads((tmp_path / "rows.json").read_text())) == 2
    assert main(["compare", str(home / "run"), str(tmp_path / "rows.csv"), "--fail-if-different"]) == 0
    assert main(["report", "-i", str(home / "run"), "-o", str(tmp_path / "page.html"), "-q", "--no-direct"]) == 0
    assert "gap over 3 images says little" in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert main(["table", "-i", str(home / "run"), "--rank"]) == 0
    plot = ["plot", "-i", str(home / "run"), "--metric", "gap", "-o", str(tmp_path / "a.svg")]
    assert [main([*plot, "--kind", kind]) for kind in ("scale", "strip")] == [0, 2]
    assert "gap is a value of whole data sets" in capsys.readouterr().err


def test_merged_runs_show_only_what_belongs_to_all_their_cells(home, mine, capsys):
    assert run(mine, "psnr_y", "--keep", output="more") == 0
    assert main(["merge", str(home / "run"), str(mine / "more"), "-o", str(mine / "both")]) == 0
    assert len(wholes(mine / "both")) == 2
    capsys.readouterr()
    assert main(["table", "-i", str(mine / "both")]) == 0
    text = capsys.readouterr().out
    assert "Whole data sets" not in text
    assert "run `rescale-bench distribution` again" in text


def test_what_a_run_needs_for_it(home, capsys):
    assert run(home, "psnr_y,gap", output="never") == 2
    assert "run --keep" in capsys.readouterr().err
    assert run(home, "gap", "--keep", output="never") == 2
    assert "name a metric of images too" in capsys.readouterr().err
    assert not (home / "never").exists()

"""Robustness: families, falls and ranks of made-up rows, and what the verb prints."""

import json

import numpy as np
import pandas as pd
import pytest
from plot_rows import BASE, row
from scipy.stats import kendalltau

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.errors import UsageError
from rescale_bench.plots.strength import strength_figure
from rescale_bench.tables.stability import falls, families, grids, stabilities

REGISTRY = load_registry()
GAINS = {
    "bicubic": {"": 0, "jpeg:95:444": -0.2, "jpeg:75:444": -0.5, "noise:1": -0.1, "ycc": 0},
    "steady": {"": 1, "jpeg:95:444": 0.9, "jpeg:75:444": 0.8, "noise:1": 1, "ycc": 1},
    "fragile": {"": 4, "jpeg:95:444": 0.4, "jpeg:75:444": -1.5, "noise:1": 2, "ycc": 4},
    "worse": {"": -1, "jpeg:95:444": -1, "jpeg:75:444": -0.4, "noise:1": -1, "ycc": -1},
}


def rows(gains=GAINS):
    wave = 0.01 * (-1.0) ** np.arange(8)
    found = [
        row(method, image, BASE[image] + gain + index * wave[image], damage=damage)
        for index, (method, steps) in enumerate(gains.items())
        for damage, gain in steps.items()
        for image in range(8)
    ]
    return pd.DataFrame(found)


def test_families_follow_strength_outwards():
    texts = ["jpeg:75", "jpeg:95", "jpeg:90:444", "gamma:0.9", "gamma:0.8", "gamma:1.1", "gamma:1.3", "noise:2", "ycc",
             "noise:1", "ycc+jpeg:50", "ycc+jpeg:80", "theirs:3"]  # fmt: skip
    found = {family.title: [damage for _, damage in family.steps] for family in families(texts, REGISTRY)}
    assert found == {
        "gamma above 1": ["gamma:1.1", "gamma:1.3"],
        "gamma below 1": ["gamma:0.9", "gamma:0.8"],
        "jpeg": ["jpeg:95", "jpeg:75"],
        "noise": ["noise:1", "noise:2"],
        "ycc + jpeg": ["ycc+jpeg:80", "ycc+jpeg:50"],
        "single damages": ["jpeg:90:444", "theirs:3", "ycc"],
    }


def test_falls_are_the_first_strength_with_a_worse_mean():
    (grid,) = grids(rows(), REGISTRY)
    assert {fall.label: fall.text for fall in falls(grid, "bicubic")} == {
        "steady": "–", "fragile": "75", "worse": "start"
    }  # fmt: skip
    found = {fall.label: fall for fall in falls(grid, "steady")}
    assert found["fragile"].text == "95"
    assert found["fragile"].difference.mean == pytest.approx(-0.5, abs=0.01)
    assert not found["fragile"].unsure


def test_a_difference_within_its_interval_is_unsure():
    near = rows({"bicubic": GAINS["bicubic"], "near": {"": 1, "jpeg:95:444": -0.2005, "jpeg:75:444": -0.5}})
    (grid,) = grids(near, REGISTRY)
    fall = falls(grid, "bicubic")[0]
    assert fall.text == "95"
    assert fall.unsure


def test_ranks_are_kendalls():
    (grid,) = grids(rows(), REGISTRY)
    found = {each.damage: each for each in stabilities(grid)}
    assert (found["noise:1"].tau, found["noise:1"].swapped, found["noise:1"].pairs) == (1, 0, 6)
    before, after = ([steps[damage] for steps in GAINS.values()] for damage in ("", "jpeg:75:444"))
    assert found["jpeg:75:444"].tau == pytest.approx(kendalltau(before, after).statistic)
    assert found["jpeg:75:444"].swapped == 4
    assert found["jpeg:75:444"].best == "steady"
    lonely = rows({"bicubic": GAINS["bicubic"]})
    assert stabilities(grids(lonely, REGISTRY)[0])[0].tau is None


def test_methods_with_other_images_are_left_out():
    frame = rows()
    gone = frame[~((frame["method"] == "fragile") & (frame["damage"] == "jpeg:95:444") & (frame["image"] == "i3"))]
    (grid,) = grids(gone, REGISTRY)
    assert grid.left_out == ("fragile under jpeg:95:444",)
    assert grid.mean("jpeg:95:444", "fragile") is None
    assert {fall.label: fall.text for fall in falls(grid, "bicubic")}["fragile"] == "75"


@pytest.mark.parametrize(("kept", "reason"), [([""], "--damage none"), (["ycc"], "run it again with none")])
def test_runs_without_a_grid_are_refused(kept, reason):
    frame = rows()
    with pytest.raises(UsageError, match=reason):
        grids(frame[frame["damage"].isin(kept)], REGISTRY)


def test_the_figure_has_a_panel_for_each_family():
    figure = strength_figure(grids(rows(), REGISTRY))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["jpeg (subsampling=444)", "single damages"]
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["none", "95", "75"]


def test_the_verb_prints_tables_of_80_columns_json_and_a_figure(tmp_path, capsys):
    path = tmp_path / "rows.csv"
    rows().to_csv(path, index=False)
    assert main(["robustness", str(path), "--reference", "bicubic,steady", "-o", str(tmp_path / "a.png")]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "falls below steady at" in text
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert main(["robustness", str(path), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: len(records) for name, records in found.items()} == {"means": 20, "falls": 3, "ranks": 4}
    assert main(["robustness", str(path), "--reference", "irn"]) == 2
    assert "--reference: the run lacks irn" in capsys.readouterr().err
    assert main(["robustness", str(path), "--metric", "nonsense"]) == 2

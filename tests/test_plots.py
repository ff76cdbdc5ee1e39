"""Figures: what is drawn equals the rows, names stay apart, files are reproducible, protocols never mix."""

import re
import subprocess
import sys
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from PIL import Image
from plot_rows import BASE, METHODS, gains, lines, looks, names_on, run
from scipy import stats

from rescale_bench.cli import main
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.plots import KINDS, figure, save, svg
from rescale_bench.plots.labels import spread
from rescale_bench.plots.style import COLOURS, GREY, _contrast_on_white, styles

# --- what is drawn -----------------------------------------------------------------


def test_scale_draws_the_means_and_the_paired_band():
    drawn = figure("scale", run())
    (axes,) = drawn.axes
    style = looks()["lanczos3"]
    line = lines(axes)[style.colour]
    expected = [BASE.mean() - scale + gains(0.7).mean() for scale in (1.5, 2, 3)]
    assert list(line.get_xdata()) == [1.5, 2, 3]
    assert list(line.get_ydata()) == pytest.approx(expected)
    interval = stats.t.interval(0.95, 7, gains(0.7).mean(), stats.sem(gains(0.7)))
    heights = [
        np.ptp(band.get_paths()[0].vertices[band.get_paths()[0].vertices[:, 0] == 2][:, 1]) for band in axes.collections
    ]
    assert min(abs(height - (interval[1] - interval[0])) for height in heights) < 1e-9
    assert len(heights) == 2  # the reference has no band
    assert "↑" in axes.get_ylabel()
    assert "[dB]" in axes.get_ylabel()
    assert axes.get_title(loc="left") == "Set5 · 8 images"
    assert drawn.texts[1].get_text() == "protocol rgb8 version 1 · codec png"


def test_a_single_scale_has_bars_and_names_beside_its_points():
    drawn = figure("scale", run(scales=("2",)))
    (axes,) = drawn.axes
    bars = {to_hex(bar.get_color()[0]).upper(): bar.get_segments()[0][:, 1] for bar in axes.collections
            if isinstance(bar, LineCollection)}  # fmt: skip
    assert set(bars) == {looks()[name].colour for name in ("lanczos3", "nearest")}
    interval = stats.ttest_1samp(gains(0.7), 0).confidence_interval(0.95)
    assert list(bars[looks()["lanczos3"].colour]) == pytest.approx(
        [BASE.mean() - 2 + end for end in (interval.low, interval.high)], abs=1e-6
    )
    notes = " ".join(text.get_text() for text in drawn.texts)
    assert "Bars: 95 %" in notes
    assert "Bands" not in notes
    assert {text.get_text() for text in names_on(drawn)} == set(METHODS)


def test_relative_draws_differences():
    (axes,) = figure("scale", run(), relative=True).axes
    assert list(lines(axes)[looks()["lanczos3"].colour].get_ydata()) == pytest.approx([gains(0.7).mean()] * 3)
    assert "minus bicubic's" in axes.get_ylabel()
    with pytest.raises(UsageError, match="lacks the reference irn"):
        figure("scale", run(), relative=True, reference="irn")
    with pytest.raises(UsageError, match="absolute values"):
        figure("cost", run(), relative=True)


def test_one_panel_per_data_set_and_metric():
    titles = [axes.get_title(loc="left") for axes in figure("scale", run(datasets=("Set5", "Set14"))).axes]
    assert titles == ["Set14 · 8 images", "Set5 · 8 images"]
    drawn = figure("scale", run(datasets=("Set5", "Set14")), metrics=["psnr_y", "ssim_y"])
    assert [axes.get_ylabel().split(" ")[0] for axes in drawn.axes] == ["PSNR", "PSNR", "SSIM", "SSIM"]
    assert len(figure("strip", run()).axes) == 3


def test_protocols_never_share_axes():
    both = pd.concat([run(), run(protocol="car")])
    with pytest.raises(UsageError, match=r"2 protocols.*--protocol"):
        figure("scale", both)
    assert figure("scale", both, protocol="car").texts[1].get_text().startswith("protocol car")
    with pytest.raises(UsageError, match="2 protocols"):
        figure("scale", pd.concat([run(), run(protocol_version=2)]))
    with pytest.raises(UnknownNameError):
        figure("scale", both, protocol="y8")


def test_means_over_fewer_images_are_left_out_and_said():
    frame = run()
    gone = (frame["method"] == "nearest") & (frame["scale"] == "3") & (frame["image"] == "i7")
    drawn = figure("scale", frame[~gone])
    assert list(lines(drawn.axes[0])[looks()["nearest"].colour].get_xdata()) == [1.5, 2]
    notes = " ".join(text.get_text() for text in drawn.texts)
    assert "Left out: nearest on Set5 at ×3: finite psnr_y on 7 of 8 images." in notes


def test_random_weights_say_that_they_are_not_publishable():
    frame = run()
    frame.loc[frame["method"] == "nearest", "weights"] = "random"
    for kind in ("scale", "strip", "cost"):
        drawn = figure(kind, frame, scales=["2"] if kind != "scale" else [])
        texts = [text.get_text() for text in names_on(drawn)]
        texts += [tick.get_text() for tick in drawn.axes[0].get_yticklabels()]
        assert any("not publishable" in text for text in texts), kind


def test_cost_is_the_median_per_megapixel():
    (axes,) = figure("cost", run(), scales=["2"]).axes
    x = next(
        line for line in axes.get_lines() if line.get_color() == "#000000" and line.get_marker() == "o"
    ).get_xdata()
    per_image = [(0.02 + 0.04 * (1 + image / 100)) / 0.02 for image in range(8)]  # 100 × 200 pixels
    assert x[0] == pytest.approx(np.median(per_image))
    assert axes.get_xscale() == "log"


def test_zero_parameters_and_infinite_fidelity_stand_beside_the_axis():
    (axes,) = figure("parameters", run(), scales=["2"]).axes
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert "0" in ticks
    (axes,) = figure("lr", run(), scales=["2"]).axes
    texts = [tick.get_text() for tick in axes.get_xticklabels()]
    assert "∞ (equal)" in texts
    at = axes.get_xticks()[texts.index("∞ (equal)")]
    black = next(line for line in axes.get_lines() if line.get_color() == "#000000" and line.get_marker() == "o")
    assert black.get_xdata()[0] == pytest.approx(at)


@pytest.mark.parametrize("kind", ["scale", "cost", "parameters", "lr"])
def test_a_ceiling_is_a_line_across_the_panel(kind):
    frame = run({**METHODS, "top": 12.0}, scales=("2",)).assign(ceiling=lambda rows: rows["method"] == "top")
    # As of a ceiling: no LR, and its cost is that of a search.
    frame.loc[frame["ceiling"] & (frame["metric"] == "psnr_lr"), ["value", "status"]] = [np.nan, "undefined"]
    drawn = figure(kind, frame)
    across = [
        line for line in drawn.axes[0].get_lines() if list(line.get_xdata()) == [0, 1] and line.get_color() == GREY
    ]
    mean = (BASE - 2 + gains(12.0)).mean()
    assert [line.get_ydata()[0] for line in across] == pytest.approx([mean])
    assert "top (ceiling)" in {text.get_text() for text in names_on(drawn)}
    assert looks()["lanczos3"] == styles([*METHODS, "top"], "bicubic", {"top"})["lanczos3"]


def test_strip_draws_every_image_and_the_mean():
    (axes,) = figure("strip", run(), scales=["2"]).axes
    points = next(line for line in axes.get_lines() if line.get_color() == looks()["nearest"].colour)
    assert sorted(points.get_xdata()) == pytest.approx(sorted(BASE - 2 + gains(-3.0)))
    order = [tick.get_text() for tick in axes.get_yticklabels()]
    assert order == ["nearest", "bicubic", "lanczos3"]  # best at the top
    bars = [line.get_xdata()[0] for line in axes.get_lines() if line.get_linewidth() == 1.8]
    assert bars == pytest.approx([(BASE - 2 + gains(METHODS[name])).mean() for name in order])


def test_unknown_names_are_refused_with_what_there_is():
    for options in ({"metrics": ["niqe"]}, {"methods": ["irn"]}, {"datasets": ["Set14"]}, {"scales": ["8"]}):
        with pytest.raises(UnknownNameError):
            figure("scale", run(), **options)
    with pytest.raises(UnknownNameError):
        figure("pie", run())
    with pytest.raises(UsageError, match="params in --metrics"):
        figure("parameters", run()[lambda frame: frame["metric"] != "params"])


def test_many_scales_show_the_usual_ones_and_say_so():
    drawn = figure("strip", run(scales=("1.5", "2", "2.5", "3", "3.5", "4")))
    assert len(drawn.axes) == 3
    assert any("×2, ×3, ×4 of 6 scales" in text.get_text() for text in drawn.texts)


# --- names and looks ---------------------------------------------------------------


def boxes(drawn):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    # The extent of an annotation would hold its leader too.
    return [[Text.get_window_extent(text, canvas.get_renderer()) for text in axes.texts] for axes in drawn.axes]


@pytest.mark.parametrize("kind", ["scale", "cost", "parameters", "lr"])
def test_names_touch_neither_each_other_nor_the_edge(kind):
    close = {"bicubic": 0.0, "lanczos3": 0.02, "aidn": 0.04, "irn": 0.05, "nearest": -3.0, "fgrn": 0.03}
    drawn = figure(kind, run(close), scales=["2"] if kind != "scale" else [])
    found = boxes(drawn)
    assert sum(map(len, found)) == len(close)
    assert not drawn.legends
    width, height = drawn.get_size_inches() * drawn.dpi
    for panel in found:
        assert not any(a.shrunk(0.98, 0.9).overlaps(b.shrunk(0.98, 0.9)) for a, b in combinations(panel, 2))
        assert all(box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height for box in panel)


def test_a_legend_takes_over_where_names_do_not_fit():
    crowd = {"bicubic": 0.0, **{f"method-number-{index:02}": 0.01 * index for index in range(1, 30)}}
    drawn = figure("scale", run(crowd))
    assert not names_on(drawn)
    (legend,) = drawn.legends
    assert {text.get_text() for text in legend.get_texts()} == set(crowd)


@pytest.mark.parametrize(("kind", "count"), [("scale", 6), ("scale", 7), ("strip", 7)])
def test_many_panels_have_one_legend_where_names_would_stand_in_each(kind, count):
    drawn = figure(kind, run(scales=("2",), datasets=tuple(f"set{index}" for index in range(count))))
    assert len(drawn.axes) == count
    assert bool(drawn.legends) == (kind == "scale" and count > 6)


def test_spread_moves_as_little_as_possible():
    assert spread([10.0, 50.0], [10, 10], 0, 100) == [10, 50]
    assert spread([20.0, 20.0], [10, 10], 0, 100) == [15, 25]
    assert spread([20.0, 20.0], [10, 20], 0, 100) == [12.5, 27.5]
    assert spread([2.0, 1.0, 3.0], [10] * 3, 0, 100) == [10, 0, 20]
    assert spread([99.0, 98.0, 5.0], [10] * 3, 0, 100) == [100, 90, 5]
    assert spread([1.0] * 12, [10] * 12, 0, 100) is None
    assert spread([], [], 0, 100) == []
    generator = np.random.default_rng(2)
    for _ in range(50):
        wanted = list(generator.uniform(0, 100, 8))
        places = spread(wanted, [9] * 8, 0, 100)
        assert min(b - a for a, b in pairwise(sorted(places))) > 9 - 1e-9
        assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)
        assert np.array_equal(np.argsort(places), np.argsort(wanted))


def test_looks_differ_in_print_and_are_readable():
    many = styles([f"m{index:02}" for index in range(42)] + ["bicubic"], "bicubic")
    assert len({(style.colour, style.marker) for style in many.values()}) == 43
    neighbours = [many[f"m{index:02}"] for index in range(7)]
    assert len({style.marker for style in neighbours}) == 7  # told apart without colour
    assert all(a.dashes != b.dashes for a, b in pairwise(neighbours))
    for style in many.values():
        colour = tuple(int(style.ink[k : k + 2], 16) / 255 for k in (1, 3, 5))
        assert _contrast_on_white(colour) >= 4.4
    # WCAG's own example: #767676 on white is 4.54.
    assert _contrast_on_white((0x76 / 255,) * 3) == pytest.approx(4.54, abs=0.01)
    assert many["bicubic"].colour == "#000000"
    assert "#F0E442" not in COLOURS


def test_a_method_looks_alike_in_all_figures_of_a_run():
    whole, part = figure("scale", run()), figure("scale", run(), methods=["nearest"])
    assert looks()["nearest"].colour in lines(whole.axes[0])
    assert set(lines(part.axes[0])) == {looks()["nearest"].colour}


# --- files -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "rate-distortion"])
def test_files_are_reproducible(kind, tmp_path):
    frame = run(scales=("2",))
    for name in ("a.svg", "b.svg"):
        save(figure(kind, frame), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    ElementTree.parse(tmp_path / "a.svg")


def test_pictures_are_reproducible(tmp_path):
    for name in ("a.png", "b.png"):
        save(figure("scale", run()), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 800


def test_svg_is_an_element_for_a_page():
    text = svg(figure("scale", run()))
    root = ElementTree.fromstring(text)
    assert text.startswith("<svg")
    assert root.get("role") == "img"
    assert root.get("aria-label") == "PSNR on Y over scale – protocol rgb8 version 1 · codec png"
    assert root.get("viewBox")
    assert "<style" not in text  # it would reach the whole page
    assert "metadata" not in text
    words = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"lanczos3", "bicubic", "nearest", "scale factor"} <= set(words)
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert ids == set(re.findall(r"""(?:url\(|href=")#([^)"]+)""", text))


def test_other_endings_and_bad_folders_are_refused(tmp_path):
    drawn = figure("scale", run())
    with pytest.raises(UsageError, match=r"none of .png .svg"):
        save(drawn, tmp_path / "a.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        save(drawn, tmp_path / "file" / "a.png")


def test_pyplot_and_its_global_state_stay_out():
    code = (
        "import sys; from rescale_bench.cli.main import build_parser; build_parser();"
        "assert 'matplotlib' not in sys.modules;"
        "import rescale_bench.plots; assert 'matplotlib.pyplot' not in sys.modules;"
        "import matplotlib; before = matplotlib.rcParams.copy();"
        "from test_plots import run; from rescale_bench.plots import figure, svg; svg(figure('scale', run()));"
        "assert 'matplotlib.pyplot' not in sys.modules; assert matplotlib.rcParams.copy() == before"
    )
    from pathlib import Path

    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


# --- the command ----------------------------------------------------------------


def test_command_flags(tmp_path, capsys):
    run().to_parquet(tmp_path / "run.parquet")
    target = tmp_path / "a.png"
    arguments = ["plot", "-i", str(tmp_path / "run.parquet"), "-o", str(target), "-m", "bicubic,nearest", "-s", "1.5,2"]
    assert main([*arguments, "--kind", "scale", "--metric", "psnr_y,ssim_y", "--relative"]) == 0
    assert target.exists()
    assert main([*arguments, "--codecs", "jpeg:90"]) == 2
    assert "codec of this run" in capsys.readouterr().err

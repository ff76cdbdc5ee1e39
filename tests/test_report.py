"""The report without a browser: pixels against numpy, Pillow and SciPy, the page through html.parser."""

import base64
import hashlib
import io
import json
import math
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from kept_run import COMMAND, HOSTILE, METHODS, failed, line, make_run, picture
from PIL import Image
from scipy.ndimage import uniform_filter

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.plots import rate_curves
from rescale_bench.report import View, build_report, draw_charts, read_source
from rescale_bench.report.budget import LEVELS, Ledger
from rescale_bench.report.charts import inline
from rescale_bench.report.crops import data_uri, enlarged, reduced, squared_error, worst_box
from rescale_bench.report.markup import sort_value
from rescale_bench.report.subjects import find_subjects
from rescale_bench.runs.folder import read_table
from rescale_bench.statistics.bdrate import bd_rate
from rescale_bench.tables.model import TableCell, TableColumn
from rescale_bench.tables.ranks import rank_methods

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements with their attributes, scripts with their text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.scripts, self.open, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag, **wanted):
        wanted = {name.strip("_"): value for name, value in wanted.items()}
        return [attrs for name, attrs in self.elements if name == tag and wanted.items() <= attrs.items()]

    def albums(self):
        return [json.loads(text) for text in self.scripts if text.startswith('{"blobs"')]


@pytest.fixture(scope="module")
def registry():
    return load_registry(())


@pytest.fixture
def page(registry):
    def build(folder, **view):
        return build_report(read_source(folder, read_table(folder)), registry, View(**view))

    return build


def unpacked(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


# --- pixels --------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 8, 15])
def test_the_worst_square_is_where_a_box_filter_peaks(side):
    error = np.random.default_rng(side).integers(0, 9_000, (40, 57))
    box = worst_box(error, side)
    sums = uniform_filter(error.astype(float), side, mode="constant", origin=-(side // 2) if side % 2 else -side // 2)
    held = sums[: 41 - side, : 58 - side]
    assert (box.height, box.width) == (side, side)
    assert box.of(error).sum() / side**2 == pytest.approx(held.max())


def test_an_image_smaller_than_the_crop_is_its_own_crop():
    box = worst_box(np.ones((20, 300)), 96)
    assert (box.top, box.height, box.width) == (0, 20, 96)


def test_squared_error_adds_methods_and_channels():
    hr = np.zeros((4, 5, 3), np.uint8)
    assert (squared_error(hr, [hr + 255, hr + 2]) == 3 * (255**2 + 4)).all()


@pytest.mark.parametrize("size", [(16, 24), (13, 19), (8, 12)])
def test_lr_pixels_are_repeated_as_pillow_does(size):
    lr = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    expected = Image.fromarray(lr).resize(size[::-1], Image.Resampling.NEAREST)
    assert (enlarged(lr, size) == np.asarray(expected)).all()


def test_crops_are_lossless_unless_a_quality_is_given():
    noise = np.random.default_rng(0).integers(0, 256, (33, 47, 3)).astype(np.uint8)
    assert (unpacked(data_uri(noise, 0)) == noise).all()
    lossy = data_uri(noise, 80)
    assert unpacked(lossy).shape == noise.shape
    assert len(lossy) < len(data_uri(noise, 0))


def test_reduced_keeps_the_aspect_and_never_enlarges():
    pixels = np.zeros((100, 300, 3), np.uint8)
    assert reduced(pixels, 90).shape == (30, 90, 3)
    assert reduced(pixels, 400) is pixels
    assert reduced(np.zeros((1, 900, 3), np.uint8), 90).shape == (1, 90, 3)


# --- the budget ----------------------------------------------------------------


def cost(level, scales=4, methods=10):
    """Bytes of one image of a large run whose crops do not compress (3 bytes a pixel, lossy 1, whole 1/6), base64."""
    shown, kept = min(scales, level.settings), min(methods, level.methods)
    pictures = shown * (1 + kept + (kept if level.every_lr else 1))
    pixels = (3 if not level.quality else 1) * level.crop**2 + level.whole**2 // 6
    return (pictures * pixels * (level.crop > 0) + level.thumb**2) * 4 // 3


def test_a_hundred_images_of_ten_methods_at_four_scales_stay_below_thirty_megabytes():
    ledger = Ledger(30_000_000, 100)
    sizes = [ledger.fit(lambda level, limit: cost(level), int) for _ in range(100)]
    assert None not in sizes
    assert sum(sizes) <= 30_000_000
    assert ledger.left == 30_000_000 - sum(sizes)
    assert min(sizes) > cost(LEVELS[-3])  # every image has its crops


def test_a_small_run_carries_everything():
    ledger = Ledger(30_000_000, 5)
    assert [ledger.fit(lambda level, limit: cost(level, 3, 3), int) for _ in range(5)] == [cost(LEVELS[0], 3, 3)] * 5


def test_what_easy_images_leave_goes_to_hard_ones():
    sizes = {level: 100 if level == LEVELS[0] else 10 for level in LEVELS}
    ledger = Ledger(120, 3)
    assert ledger.fit(lambda level, limit: sizes[level], int) == 10  # 40 are its share
    assert ledger.fit(lambda level, limit: 1, int) == 1
    assert ledger.fit(lambda level, limit: sizes[level], int) == 100


def test_levels_only_fall():
    assert [cost(level) for level in LEVELS] == sorted((cost(level) for level in LEVELS), reverse=True)


def test_the_page_keeps_its_budget_with_real_pictures(tmp_path, page):
    images = [f"image{index:02}" for index in range(16)]
    folder = make_run(tmp_path / "run", images, scales=("2",))
    rich, poor = page(folder), page(folder, budget=260_000)
    assert len(poor.encode()) <= 260_000 < len(rich.encode())
    parsed = Page(poor)
    assert [attrs["data-name"] for attrs in parsed.all("details", _class="album")] == [
        f"{name} photos" for name in images
    ]
    assert {one["storing"] for one in Page(rich).albums()} == {"without loss"}


def test_a_budget_below_the_text_leaves_every_picture_out(tmp_path, page):
    parsed = Page(page(make_run(tmp_path / "run"), budget=1_000))
    assert parsed.albums() == []
    assert parsed.all("img", decoding="async") == []
    assert len(parsed.all("details", _class="album")) == 2


# --- the pictures of the page ---------------------------------------------------


def test_the_crop_lies_on_the_noise_and_holds_the_stored_pixels(tmp_path, page):
    folder = make_run(tmp_path / "run", images=("one",), scales=("2", "3"))
    (album,) = Page(page(folder)).albums()
    assert [one["title"] for one in album["settings"]] == ["×2", "×3"]
    setting = album["settings"][0]
    left, top, width, height = setting["box"]
    assert (width, height) == (96, 96)
    assert (left <= 30, left + 96 >= 90) == (True, True)
    assert (top <= 40, top + 96 >= 100) == (True, True)
    names = [one["name"] for one in setting["pictures"]]
    assert names == ["HR", "bicubic", "lanczos3", "nearest", "LR of bicubic", "LR of lanczos3", "LR of nearest"]
    stored = np.asarray(Image.open(folder / "outputs" / f"{1:024x}-sr.png"))
    shown = unpacked(album["blobs"][setting["pictures"][names.index("nearest")]["crop"]])
    assert (shown == stored[top : top + 96, left : left + 96]).all()
    # The three LR are one picture, carried once.
    assert len({one["crop"] for one in setting["pictures"] if one["kind"] == "lr"}) == 1
    assert setting["pictures"][3]["scores"] == "psnr_y 26.50 dB"


def test_without_kept_pictures_the_page_says_how_to_get_them(tmp_path, page):
    parsed = Page(page(make_run(tmp_path / "run", keep=False)))
    assert "This run kept no pictures" in parsed.text
    assert f"{COMMAND} --keep" in parsed.text
    assert "30.25" in parsed.text  # everything else is there


def test_cells_without_pictures_are_named(tmp_path, page):
    folder = make_run(tmp_path / "run")
    (folder / "outputs" / f"{2:024x}-sr.png").unlink()
    text = Page(page(folder)).text
    assert "1 of 12 measured cells have no kept pictures" in text
    assert "photos one ×2 bicubic" in text


def test_a_damaged_picture_is_a_note(tmp_path, page):
    folder = make_run(tmp_path / "run", images=("one",), scales=("2",))
    (folder / "outputs" / f"{2:024x}-sr.png").write_bytes(b"no picture")
    parsed = Page(page(folder))
    assert [one["name"] for one in parsed.albums()[0]["settings"][0]["pictures"]][:3] == ["HR", "lanczos3", "nearest"]
    assert f"{2:024x}-sr.png" in parsed.text


def test_a_table_cannot_lead_to_other_files(tmp_path, registry):
    folder = make_run(tmp_path / "run", images=("one",), scales=("2",))
    frame = read_table(folder)
    outside = tmp_path / "run" / "secret"
    for part in ("hr", "lr", "sr"):
        (folder / "outputs" / f"{1:024x}-{part}.png").rename(f"{outside}-{part}.png")
    frame["cell"] = frame["cell"].replace(f"{1:024x}", "../secret")
    source = read_source(folder, frame)
    found = find_subjects(source.rows, source.run.outputs)
    assert found.lacking == ("photos one ×2 nearest",)


# --- the page -------------------------------------------------------------------


def test_names_cannot_break_out(tmp_path, page):
    folder = make_run(tmp_path / "run", images=HOSTILE, scales=("2",))
    parsed = Page(page(folder, command="x </script><script>1</script>"))
    assert not any(name.startswith("on") for _, attrs in parsed.elements for name in attrs)
    kinds = [attrs.get("type", "") for attrs in parsed.all("script")]
    assert kinds == ["application/json"] * 4 + [""]
    names = {attrs["data-name"] for attrs in parsed.all("details", _class="album")}
    assert names == {f"{name} photos" for name in HOSTILE}
    assert parsed.open == []


def test_only_the_script_of_the_page_may_run_and_nothing_is_fetched(tmp_path, page):
    parsed = Page(page(make_run(tmp_path / "run")))
    policy = parsed.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[-1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    links = [attrs.get(name) for _, attrs in parsed.elements for name in ("src", "href") if attrs.get(name)]
    assert all(link.startswith(("#", "data:")) for link in links)


def test_protocols_stand_apart_and_are_spelt_out(tmp_path, page):
    extra = [line(90 + index, name, "one", "2", protocol="srcnn-y") for index, name in enumerate(METHODS)]
    parsed = Page(page(make_run(tmp_path / "run", keep=False, extra=extra)))
    groups = [attrs["aria-label"] for attrs in parsed.all("section", _class="group")]
    assert groups == ["Protocol rgb8 version 1", "Protocol srcnn-y version 1"]
    assert "Scores of two protocols are never averaged or ranked together." in parsed.text
    assert "rounded to 8 bit" in parsed.text
    assert "the Y plane alone" in parsed.text


def test_a_protocol_of_another_version_or_unknown_is_said(tmp_path, page):
    extra = [line(90, "bicubic", "one", "2", protocol="theirs"), line(91, "bicubic", "one", "2", protocol_version=7)]
    text = Page(page(make_run(tmp_path / "run", keep=False, extra=extra))).text
    assert "No plugin of this installation knows this protocol" in text
    assert "The run was measured with version 7; what follows is version 1." in text


def test_random_weights_are_not_publishable(tmp_path, page):
    extra = [
        line(90 + i, "random-net", name, "2", weights="random", weights_sha256="f00")
        for i, name in enumerate(("one", "two"))
    ]
    parsed = Page(page(make_run(tmp_path / "run", keep=False, extra=extra)))
    rows = [attrs for attrs in parsed.all("tr") if attrs.get("data-method", "").startswith("random-net")]
    assert len(rows) >= 2  # in the leaderboard; "More than a mean" has it again
    assert {row["class"].strip() for row in rows} == {"unpublishable"}
    assert "[random: not publishable]" in parsed.text
    assert len(parsed.all("span", _class="badge")) == 1  # among the weights


def test_failed_cells_are_listed_with_their_reason(tmp_path, page):
    extra = [failed(line(90, "nearest", "three", "3"), "out of <memory>")]
    parsed = Page(page(make_run(tmp_path / "run", keep=False, extra=extra)))
    assert "out of <memory>" in parsed.text
    assert "13 stored, 1 failed" in parsed.text
    assert "No cell failed" in Page(page(make_run(tmp_path / "good", keep=False))).text


def test_environment_and_commands(tmp_path, page):
    parsed = Page(page(make_run(tmp_path / "run", keep=False), command="rescale-bench report -i run"))
    for text in ("<b>fast</b>", "2.4", COMMAND, "rescale-bench report -i run"):
        assert text in parsed.text


def test_a_bare_table_makes_a_page_too(tmp_path, page, registry):
    frame = read_table(make_run(tmp_path / "run", keep=False))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    parsed = Page(page(tmp_path / "rows.csv"))
    assert "rows.csv" in parsed.text
    assert "The commands are not known" in parsed.text


def test_equal_runs_give_equal_pages(tmp_path, page):
    folder = make_run(tmp_path / "run", images=("one",), scales=("2",))
    assert page(folder) == page(folder)


def test_cells_sort_by_their_numbers(tmp_path, page):
    """The values behind the cells are those of the rows, to the last digit, whatever is printed."""
    folder = make_run(tmp_path / "run", keep=False)
    expected = read_table(folder).query("metric == 'psnr_y'").groupby(["scale", "method"])["value"].mean()
    rows = re.findall(r'<tr data-method="(.*?)" data-scale="(.*?)"(.*?)</tr>', page(folder), re.DOTALL)
    values = {(scale, method): re.findall(r'data-value="(.*?)"', cells) for method, scale, cells in rows[:6]}
    assert {key: float(cells[3]) for key, cells in values.items()} == dict(expected)
    assert values["2", "bicubic"][:3] == ["2.0", "bicubic", "2.0"]
    assert values["2", "bicubic"][4] == "0.0"


@pytest.mark.parametrize(("value", "text"), [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (None, "")])
def test_sort_values_are_numbers_of_javascript(value, text):
    assert sort_value(TableCell("?", value), TableColumn("psnr_y")) == text


def test_headings_say_which_end_is_better(tmp_path, page):
    parsed = Page(page(make_run(tmp_path / "run", keep=False)))
    first = [attrs["data-first"] for attrs in parsed.all("th", scope="col") if "data-first" in attrs]
    # scale, method, images, psnr_y, difference, piqe_lr; the tables of the statistics come after them
    assert first[:6] == ["ascending", "ascending", "ascending", "descending", "descending", "ascending"]
    assert ", higher is better" in parsed.text


# --- statistics -----------------------------------------------------------------


def tables(parsed_text, what):
    """Read the tables whose region is named so: a list of rows per table, a cell being its text."""
    found = []
    for region in re.findall(rf'aria-label="{what} [^"]*">\s*<table.*?</table>', parsed_text, re.DOTALL):
        rows = re.findall(r"<tr\b.*?</tr>", region, re.DOTALL)
        cells = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
        found.append([[re.sub(r"<[^>]*>", "", cell).strip() for cell in row] for row in cells])
    return found


def test_two_images_separate_no_methods(tmp_path, page):
    text = page(make_run(tmp_path / "run", keep=False))
    (table,) = tables(text, "Ranks on")
    assert {tuple(row[:2]) for row in table[1:]} == {("×2", "1–3"), ("×3", "1–3")}
    assert {row[2] for row in table[1:]} == set(METHODS)
    assert table[1][4] == "best"
    assert len(table) == 1 + 6
    assert "not separable on 2 images" in Page(text).text


def test_the_ranks_of_the_page_are_those_of_the_table(tmp_path, page):
    images = [f"image{index}" for index in range(8)]
    folder = make_run(tmp_path / "run", images, keep=False)
    ranks = {(one.group.scale, rank.label): rank for one in rank_methods(read_table(folder)) for rank in one.ranks}
    (table,) = tables(page(folder), "Ranks on")
    assert len(table) - 1 == len(ranks) == 6
    for scale, places, method, mean, _, wins, p, *_ in table[1:]:
        rank = ranks[scale.removeprefix("×"), method]
        assert (places, mean) == (rank.text, f"{rank.mean:.2f}")
        if rank.difference:
            assert wins == f"{rank.difference.wins}/8"
            assert float(p) == pytest.approx(rank.p, rel=0.05)


def test_seeds_codecs_and_the_chosen_metric(tmp_path, page):
    extra = [line(200 + 10 * seed + index, "bicubic", name, "2", seed=seed, codec="jpeg:quality=30")
             for seed in (0, 1) for index, name in enumerate(("one", "two"))]  # fmt: skip
    extra += [
        line(300 + index, "nearest", name, "2", codec="jpeg:quality=30") for index, name in enumerate(("one", "two"))
    ]
    text = page(make_run(tmp_path / "run", scales=("2",), keep=False, extra=extra), metric="piqe_lr")
    (table,) = tables(text, "Ranks on")
    assert any("SD over seeds" in head for head in table[0])
    assert {row[0] for row in table[1:]} == {"png", "jpeg:30"}
    seeds = next(row for row in table[1:] if row[0] == "jpeg:30" and row[3] == "bicubic")[5]
    assert seeds.endswith("(2)")
    assert "Ranks by piqe_lr" in Page(text).text


def test_nothing_to_rank_is_said(tmp_path, page):
    text = Page(page(make_run(tmp_path / "run", methods=("bicubic",), keep=False))).text
    assert "No ranks: no two methods have comparable values on the same images." in text


def test_a_sweep_of_scales_shows_the_usual_ones(tmp_path, page):
    text = page(make_run(tmp_path / "run", ("one",), ("1.5", "2", "2.5", "3", "4"), keep=False))
    (table,) = tables(text, "Ranks on")
    assert {row[0] for row in table[1:]} == {"×2", "×3", "×4"}
    assert "Shown: ×2, ×3, ×4 of 5 scales" in Page(text).text


# --- plots ----------------------------------------------------------------------


def test_plots_are_named_and_their_ids_apart():
    svg = (
        '<?xml version="1.0"?><svg width="9pt" viewBox="0 0 288 216"><metadata>now</metadata>'
        '<path id="a"/><use xlink:href="#a" clip-path="url(#b)"/></svg>'
    )
    one, two = inline(svg, "scale-rgb8", "A & B", "what"), inline(svg, "lr-rgb8", "Other", "what")
    parsed = Page(one.svg + two.svg)
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids)) == 6
    assert parsed.all("svg")[0]["aria-labelledby"] == "plot-scale-rgb8-title plot-scale-rgb8-desc"
    assert parsed.all("use")[0] == {"xlink:href": "#plot-scale-rgb8-a", "clip-path": "url(#plot-scale-rgb8-b)"}
    assert "A & B" in parsed.text
    assert "now" not in parsed.text
    assert one.width == 384


def test_the_plots_of_a_run_are_drawn_per_protocol(tmp_path, registry):
    extra = [line(90 + index, name, "one", "2", protocol="srcnn-y") for index, name in enumerate(METHODS)]
    folder = make_run(tmp_path / "run", keep=False, extra=extra)
    source = read_source(folder, read_table(folder))
    charts, missing = draw_charts(source, "bicubic")
    titles = [chart.title for chart in charts]
    assert "Quality over scale, protocol rgb8" in titles
    assert "Quality over scale, protocol srcnn-y" in titles
    assert any(text.startswith("no plot rate-distortion: ") for text in missing)
    parsed = Page(build_report(source, registry, View(), charts))
    ids = [attrs["id"] for _, attrs in parsed.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


# --- the command ----------------------------------------------------------------


def test_the_command_writes_the_page(tmp_path, capsys):
    folder = make_run(tmp_path / "run")
    assert main(["report", "-i", str(folder), "-o", str(tmp_path / "new" / "page.html")]) == 0
    assert "page.html: " in capsys.readouterr().err
    parsed = Page((tmp_path / "new" / "page.html").read_text(encoding="utf-8"))
    assert f"rescale-bench report -i {folder}" in parsed.text
    assert len(parsed.all("svg")) >= 1
    assert main(["report", "-i", str(folder)]) == 0
    assert (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--budget", "0"], "--budget: 0"), (["--metrics", "psnr_q"], "psnr_q"), (["-i", "nowhere"], "nowhere")],
)
def test_bad_flags_are_one_line(tmp_path, capsys, flags, words):
    folder = make_run(tmp_path / "run", keep=False)
    assert main(["report", "-i", str(folder), "-o", str(tmp_path / "page.html"), *flags]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert words in error[-1]
    assert not (tmp_path / "page.html").exists()


# --- rate-distortion --------------------------------------------------------------


@pytest.fixture(scope="module")
def rates(tmp_path_factory):
    """A run of a folder of images at four JPEG settings, as the command makes it."""
    base = tmp_path_factory.mktemp("rates")
    (base / "holiday").mkdir()
    for place in range(2):
        Image.fromarray(picture(place)).save(base / "holiday" / f"p{place}.png")
    flags = [
        "-m",
        "bicubic,lanczos3",
        "-s",
        "2",
        "--codecs",
        "jpeg:30,jpeg:50,jpeg:70,jpeg:90",
        "--metrics",
        "psnr_y,bpp",
    ]
    flags += ["--threads", "1", "-q", "-d", str(base / "holiday"), "-o", str(base / "run")]
    assert main(["run", *flags]) == 0
    return base / "run"


def test_the_page_holds_direct_jpeg_and_bd_rates(rates, tmp_path, capsys):
    for name in ("first", "second"):
        assert main(["report", "-i", str(rates), "-o", str(tmp_path / f"{name}.html")]) == 0
        said = capsys.readouterr().err
        assert ("measuring JPEG of the HR: holiday ×2" in said) == (name == "first")  # kept in the run folder
    text = (tmp_path / "second.html").read_text(encoding="utf-8")
    assert "JPEG of the HR: the full-size image as JPEG" in text
    (table,) = tables(text, "BD-rates of")
    assert {(row[3], row[4]) for row in table[1:]} == {
        ("bicubic", "JPEG of the HR"), ("lanczos3", "bicubic"), ("lanczos3", "JPEG of the HR")
    }  # fmt: skip
    curves = rate_curves(read_table(rates))
    expected = bd_rate(curves["holiday", "2", "jpeg", "bicubic"], curves["holiday", "2", "jpeg", "lanczos3"])
    shown = next(row for row in table[1:] if (row[3], row[4]) == ("lanczos3", "bicubic"))
    assert shown[5] == f"{expected.value:+.2f}"
    assert main(["report", "-i", str(rates), "-o", str(tmp_path / "bare.html"), "--no-direct"]) == 0
    assert "JPEG of the HR" not in (tmp_path / "bare.html").read_text(encoding="utf-8")


def test_lost_images_are_said_in_the_caption(rates, tmp_path):
    shutil.copytree(rates, tmp_path / "run", ignore=shutil.ignore_patterns("direct-jpeg.json"))
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    lost = json.dumps(run).replace(str(rates.parent / "holiday"), "/nowhere/holiday")
    (tmp_path / "run" / "run.json").write_text(lost)
    assert main(["report", "-i", str(tmp_path / "run"), "-o", str(tmp_path / "page.html"), "-q"]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "No JPEG of the HR for holiday at ×2: the images of holiday are not here" in text


def test_three_settings_make_no_bd_table(rates, registry):
    frame = read_table(rates)
    few = frame[frame["codec"] != "jpeg:quality=30"]
    text = build_report(read_source(rates, few), registry, View())
    assert tables(text, "BD-rates of") == []

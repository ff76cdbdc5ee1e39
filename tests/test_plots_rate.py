"""Rate-distortion: curves, BD-rates, and the HR itself as JPEG, measured once and kept beside the run."""

import contextlib
import io
import json
import math
import re
import shutil
from decimal import Decimal

import numpy as np
import pytest
from PIL import Image
from plot_rows import BASE, METHODS, lines, looks, names_on, sweep

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.codecs import JPEG
from rescale_bench.errors import UsageError
from rescale_bench.metrics.fidelity import psnr_rgb, psnr_y
from rescale_bench.plots import (
    bd_rows,
    bd_table,
    bd_text,
    direct_jpeg_curve,
    figure,
    rate_curves,
    reference_curves,
    shown_panels,
)
from rescale_bench.plots.direct import DirectCurve, born_as_jpeg
from rescale_bench.plots.rate import DIRECT
from rescale_bench.protocols.named import PROTOCOLS, RGB8
from rescale_bench.runs.folder import Run, read_table

# --- rate-distortion ---------------------------------------------------------------


def test_rate_distortion_draws_curves_and_single_settings():
    drawn = figure("rate-distortion", sweep())
    (axes,) = drawn.axes
    curve = lines(axes)[looks()["lanczos3"].colour]
    assert list(curve.get_xdata()) == pytest.approx([0.2 * 1.02 * 1.6**k for k in range(4)])
    assert list(curve.get_ydata()) == pytest.approx([BASE.mean() + 0.7 + 1.2 * k for k in range(4)])
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "white"]
    assert len(hollow) == 3
    assert drawn.texts[1].get_text().endswith("jpeg (default, 30, 50, 90), png")
    assert {text.get_text() for text in names_on(drawn)} == set(METHODS)
    assert "bits per HR pixel [bit/px]" in axes.get_xlabel()


def test_direct_curve_is_drawn_and_its_birth_is_warned_of():
    direct = {("Set5", "2"): DirectCurve(((0.2, 25.0), (0.5, 31.0), (1.0, 35.0), (2.0, 40.0)), born_as=95)}
    drawn = figure("rate-distortion", sweep(), direct=direct)
    assert DIRECT in {text.get_text() for text in names_on(drawn)}
    notes = " ".join(text.get_text() for text in drawn.texts)
    assert "Warning: Set5 was born as JPEG (quality about 95)" in notes


def test_bd_rows_compare_with_anchor_and_direct_jpeg():
    curves = rate_curves(sweep())
    assert set(curves) == {("Set5", "2", "jpeg", name) for name in METHODS}
    # lanczos3: 0.7 dB more at 1.02 times the rate; 1.2 dB are a factor 1.6.
    direct = {
        ("Set5", "2"): DirectCurve(tuple((2 * rate, value) for rate, value in curves["Set5", "2", "jpeg", "bicubic"]))
    }
    rows = bd_rows(curves, "bicubic", direct)
    found = {(one.label, one.anchor): one for one in rows}
    assert set(found) == {("lanczos3", "bicubic"), ("nearest", "bicubic"), *((name, DIRECT) for name in METHODS)}
    expected = 100 * (1.02 * 1.6 ** (-0.7 / 1.2) - 1)
    assert found["lanczos3", "bicubic"].rate.value == pytest.approx(expected, abs=1e-6)
    assert found["bicubic", DIRECT].rate.value == pytest.approx(-50)
    text = bd_text(rows, "psnr_y")
    assert f"{expected:+.2f}" in text
    assert "akima interpolation" in text
    few = sweep()[lambda frame: ~frame["codec"].isin(["jpeg", "jpeg:quality=30"])]
    assert "four are needed" in bd_text(bd_rows(rate_curves(few), "bicubic"), "psnr_y")
    assert "no two curves" in bd_text([], "psnr_y")
    tagged = {(*key[:3], f"{key[3]} [small]"): points for key, points in curves.items()}
    assert {one.anchor for one in bd_rows(tagged, "bicubic")} == {"bicubic [small]"}


def photo(tmp_path, quality=None, size=(96, 128)):
    """Make an image with edges and texture, through JPEG if asked."""
    generator = np.random.default_rng(1)
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [127 + 80 * np.sin(x / 9 + k) * np.cos(y / 7) + 30 * ((x // 16 + y // 16) % 2) for k in range(3)]
    pixels = np.clip(np.stack(waves, axis=2) + generator.normal(0, 6, (*size, 1)), 0, 255).astype(np.uint8)
    if quality:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
        pixels = np.asarray(Image.open(stream))
    path = tmp_path / f"photo{quality}.png"
    Image.fromarray(pixels).save(path)
    return path


def test_direct_curve_equals_pillow(tmp_path):
    path = photo(tmp_path)
    curve = direct_jpeg_curve([(path, 1)], RGB8, Decimal(2), JPEG, psnr_rgb, qualities=(20, 80))
    original = np.asarray(Image.open(path)).astype(float)
    expected = []
    for quality in (20, 80):
        stream = io.BytesIO()
        Image.open(path).save(stream, "JPEG", quality=quality)
        error = (np.asarray(Image.open(stream)).astype(float) - original)[2:-2, 2:-2]
        expected.append((8 * len(stream.getvalue()) / (96 * 128), 10 * math.log10(255**2 / (error**2).mean())))
    assert [value for point in curve.points for value in point] == pytest.approx([v for p in expected for v in p])
    assert curve.born_as is None
    with pytest.raises(UsageError, match="no RGB image"):
        direct_jpeg_curve([(path, 1)], next(p for p in PROTOCOLS if p.plane == "y"), Decimal(2), JPEG, psnr_rgb)
    with pytest.raises(UsageError, match="no image"):
        direct_jpeg_curve([], RGB8, Decimal(2), JPEG, psnr_rgb)


@pytest.mark.parametrize("quality", [90, 93, 96])
def test_images_born_as_jpeg_are_found(tmp_path, quality):
    import torch

    pixels = np.asarray(Image.open(photo(tmp_path, quality)))
    assert born_as_jpeg([torch.from_numpy(pixels.copy()).permute(2, 0, 1)], JPEG) == quality


def test_bsd100_was_born_as_jpeg_and_kodak_was_not(data_root):
    import torch

    def born(*names):
        images = [np.asarray(Image.open(data_root / name).convert("RGB")) for name in names]
        return born_as_jpeg([torch.from_numpy(one[:256, :256].copy()).permute(2, 0, 1) for one in images], JPEG)

    bsd = sorted(path.name for path in (data_root / "BSD100").glob("*.png"))[:2]
    kodak = sorted(path.name for path in (data_root / "Kodak24").glob("*.png"))[:2]
    assert born(*(f"BSD100/{name}" for name in bsd)) == 95
    assert born(*(f"Kodak24/{name}" for name in kodak)) is None


def test_command_draws_and_prints_bd_rates(tmp_path, capsys, data_root):
    path = sorted((data_root / "Set5").glob("*.png"))[0]
    frame = sweep()
    frame = frame[frame["image"] == "i0"].assign(image=path.stem)
    frame.to_parquet(tmp_path / "run.parquet")
    target = tmp_path / "figures" / "rd.svg"
    code = main(["plot", "--kind", "rate-distortion", "-i", str(tmp_path / "run.parquet"), "-o", str(target)])
    shown = capsys.readouterr()
    assert code == 0
    assert DIRECT in shown.out
    assert "BD-rate ↓ [%]" in shown.out
    assert DIRECT in target.read_text()
    assert shown_panels(frame)[0].images == ((path.stem, ""),)


def test_command_says_where_direct_jpeg_is_missing_or_another_image(tmp_path, capsys, data_root):
    path = sorted((data_root / "Set5").glob("*.png"))[0]
    frame = sweep()[lambda one: one["image"] == "i0"]
    for changes, words in (
        ({}, "has no image i0"),
        ({"image": path.stem, "image_sha256": "0" * 64}, "is not the image that the run measured"),
    ):
        frame.assign(**changes).to_parquet(tmp_path / "run.parquet")
        arguments = ["plot", "--kind", "rate-distortion", "-i", str(tmp_path / "run.parquet")]
        assert main([*arguments, "-o", str(tmp_path / "rd.png")]) == 0
        assert words in capsys.readouterr().err
        assert main([*arguments, "--no-direct", "-o", str(tmp_path / "rd.png")]) == 0
        assert words not in capsys.readouterr().err


def test_bd_table_says_where_curves_cross_and_what_lacks():
    flat = [(1.0, 30.0), (2.0, 31.0), (4.0, 32.0), (8.0, 33.0)]
    steep = [(1.0, 29.0), (2.0, 31.5), (4.0, 34.0), (8.0, 36.5)]
    apart = [(0.1, 10.0), (0.2, 11.0), (0.3, 12.0), (0.4, 13.0)]
    curves = {("a", "2", "jpeg", name): points for name, points in
              (("bicubic", flat), ("steep", steep), ("apart", apart))}  # fmt: skip
    table, notes = bd_table(bd_rows(curves, "bicubic"), "psnr_y")
    titles = [column.heading for column in table.columns]
    rows = {row.method: dict(zip(titles, row.cells, strict=True)) for row in table.rows}
    # In log2(rate) the lines 30 + t and 29 + 2.5 t meet at t = 2/3, where both are at 30.667.
    assert rows["steep"]["crossing at"].value == pytest.approx(30 + 2 / 3, abs=0.01)
    assert rows["apart"]["BD-rate ↓ [%]"].text == rows["apart"]["BD-PSNR ↑ [dB]"].text == "–"
    assert rows["apart"]["BD-rate ↓ [%]"].signs == "(1)"
    assert (rows["apart"]["overlap"].text, rows["apart"]["overlap"].signs) == ("0%", "‡")
    assert rows["steep"]["BD-rate ↓ [%]"].signs == ""
    assert notes[-1] == "(1) the curves share no range: there is nothing to average"


# --- the HR images found again, and the curve kept -----------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of a folder of two small images, with kept pictures, made by the command from another directory."""
    base = tmp_path_factory.mktemp("folder")
    folder = base / "imgs" / "holiday"
    folder.mkdir(parents=True)
    for quality in (None, 60):
        photo(folder, quality, size=(97, 129))  # odd, so that what is kept is not the file itself
    flags = ["-m", "bicubic", "-s", "2", "--codecs", "jpeg:30,jpeg:50,jpeg:70,jpeg:90", "--metrics", "psnr_y,bpp"]
    with contextlib.chdir(base):
        assert main(["run", *flags, "-d", "imgs/holiday", "-o", "run", "--keep", "-q", "--threads", "1"]) == 0
    return base / "run"


@pytest.fixture
def moved(measured, tmp_path):
    """A copy of that run beside a copy of its images."""
    shutil.copytree(measured.parent, tmp_path / "copy")
    return tmp_path / "copy" / "run"


def references(run, **options):
    told = []
    found = reference_curves(read_table(run), load_registry(()), Run(run), told.append, **options)
    return found, told


def test_a_folder_named_by_the_run_is_found_and_measured_once(moved):
    found, told = references(moved)
    assert told == ["measuring JPEG of the HR: holiday ×2, 2 images, 12 qualities"]
    folder = moved.parent / "imgs" / "holiday"
    direct = direct_jpeg_curve([(path, 1) for path in sorted(folder.iterdir())], RGB8, Decimal(2), JPEG, psnr_y)
    assert found.curves == {("holiday", "2"): direct}
    assert found.notes == ()
    again, told = references(moved)
    assert (again, told) == (found, [])
    # By content: the same bytes under another time stamp are the same image, other bytes are not the run's.
    (folder / "photoNone.png").touch()
    assert references(moved)[1] == []


def test_kept_pictures_stand_in_for_images_that_are_gone(moved):
    before, _ = references(moved)
    shutil.rmtree(moved.parent / "imgs")
    found, told = references(moved)
    assert len(told) == 1  # other files, so measured anew
    points = [value for curve in (before, found) for point in curve.curves["holiday", "2"].points for value in point]
    assert points[: len(points) // 2] == pytest.approx(points[len(points) // 2 :], abs=1e-12)
    assert references(moved)[1] == []
    for picture in (moved / "outputs").glob("*-hr.png"):
        picture.unlink()
    found, _ = references(moved)
    assert found.curves == {}
    (note,) = found.notes
    assert re.match(r"No JPEG of the HR for holiday at ×2: the images of holiday are not here \(.*\), and", note)
    drawn = figure("rate-distortion", read_table(moved), absent=found.notes)
    assert "No JPEG of the HR for holiday" in " ".join(text.get_text() for text in drawn.texts)


def test_another_image_under_the_same_name_is_refused(moved):
    shutil.rmtree(moved / "outputs")
    path = moved.parent / "imgs" / "holiday" / "photo60.png"
    Image.new("RGB", (64, 64)).save(path)
    assert "photo60.png is not the image that the run measured" in references(moved)[0].notes[0]


def test_a_damaged_or_foreign_cache_is_measured_anew(moved):
    found, _ = references(moved)
    cache = moved / "direct-jpeg.json"
    content = json.loads(cache.read_text())
    (key,) = content["curves"]
    for damage in ("{", json.dumps({"curves": {key: {"points": "no"}}}), json.dumps({"curves": {"other": {}}})):
        cache.write_text(damage)
        again, told = references(moved)
        assert (again, len(told)) == (found, 1)
    content["curves"][key]["points"] = [[1.0, 2.0]]
    cache.write_text(json.dumps(content))
    assert references(moved)[0].curves["holiday", "2"].points == ((1.0, 2.0),)


def test_a_metric_or_protocol_of_another_version_has_no_curve(moved):
    frame = read_table(moved)
    for changes, words in (
        ({"metric_version": "theirs/0"}, "the run has psnr_y of theirs/0, here is "),
        ({"protocol_version": 99}, "the run has version 99 of protocol rgb8, here is 1"),
    ):
        found = reference_curves(frame.assign(**changes), load_registry(()), Run(moved))
        assert words in found.notes[0]
    found = reference_curves(frame, load_registry(()), Run(moved), metrics=["bpp"])
    assert "bpp does not judge the HR" in found.notes[0]

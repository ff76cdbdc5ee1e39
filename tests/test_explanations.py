"""Gaps to published numbers, searched on the stored outputs of a real run; the expected ones come from other runs."""

import json
import shutil
from decimal import Decimal

import pytest

from rescale_bench.api.registry import load_registry
from rescale_bench.checks import compare, explain, read_pictures, read_published, render_published
from rescale_bench.checks.published import COLUMNS
from rescale_bench.checks.switches import changes, reruns
from rescale_bench.cli import main
from rescale_bench.protocols.named import PROTOCOLS, RGB8
from rescale_bench.runs.folder import read_table

SRCNN = next(one for one in PROTOCOLS if one.name == "srcnn-y")
AIDN = next(one for one in PROTOCOLS if one.name == "aidn")


def measure(folder, protocol, *flags):
    command = ["run", "-m", "bicubic", "-d", "Set5", "-s", "2", "--metrics", "psnr_y,ssim_y", "-q", *flags]
    assert main([*command, "--protocol", protocol, "-o", str(folder)]) == 0
    frame = read_table(folder)
    return frame.groupby("metric")["value"].mean()


@pytest.fixture(scope="module")
def kept(data_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    measure(folder, "rgb8", "--keep")
    return folder


def table(folder, *rows):
    file = folder / "paper.csv"
    lines = [",".join(COLUMNS), *(f"Paper,Table 1,bicubic,2,Set5,{metric},{text},," for metric, text in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def search(run, tables):
    frame = read_table(run)
    registry = load_registry()
    found = compare(frame, read_published(tables), registry)
    return found, explain(found, read_pictures(run, frame), registry.choose_protocol)


@pytest.mark.parametrize(
    ("protocol", "change"),
    [("rgb8:border=0", "border=0"), ("rgb8:luma=car,border=8", "luma=car,border=8")],
)
def test_the_switches_of_another_run_are_found(kept, tmp_path, protocol, change):
    other = measure(tmp_path / "other", protocol)
    paper = table(tmp_path, ("psnr_y", f"{other['psnr_y']:.4f}"), ("ssim_y", f"{other['ssim_y']:.6f}"))
    found, why = search(kept, paper)
    assert len(found) == len(why) == 2
    for one in found:
        assert why[one].change.text == change
        assert why[one].change.value == pytest.approx(other[one.metric], abs=1e-9)
        assert why[one].support == (2, 2)


def test_what_nothing_explains_gets_its_nearest(kept, tmp_path):
    found, why = search(kept, table(tmp_path, ("psnr_y", "40.00")))
    only = why[found[0]]
    assert only.change is None
    assert only.nearest.difference < -1
    assert only.tried == 7 + 12  # 3 lumas, 3 borders, RGB; their pairs without two values of one switch and luma of RGB
    text = render_published(found, why=why)
    assert f"nearest of {only.tried}" in text
    assert "re-run with" in text


def test_the_published_bicubic_rows_need_a_run_under_srcnn_y(kept, tmp_path):
    found, why = search(kept, read_tables := _folder())
    assert {one.metric for one in found} == {"psnr_y", "ssim_y"}
    for one in found:
        assert why[one].reruns[0] == "srcnn-y"
        fits = why[one].support[0]
        assert fits < why[one].support[1]  # no single story tells both numbers
        assert (why[one].change is None) == (one.metric == "ssim_y")
    assert "may be chance" in render_published(found, why=why)
    measure(tmp_path / "y", "srcnn-y", "--keep")
    again, nothing = search(tmp_path / "y", read_tables)
    assert all(one.reproduction for one in again)
    assert nothing == {}


def _folder():
    from rescale_bench.checks import shipped_tables

    return shipped_tables()


def test_without_outputs_it_says_how_to_get_them(kept, tmp_path):
    shutil.copytree(kept, tmp_path / "bare", ignore=shutil.ignore_patterns("outputs"))
    found, why = search(tmp_path / "bare", table(tmp_path, ("psnr_y", "33.66")))
    assert "run --keep" in why[found[0]].obstacle
    assert "run --keep" in render_published(found, why=why)


def test_a_tolerance_can_be_asked_for_or_stated(kept, tmp_path, capsys):
    paper = table(tmp_path, ("psnr_y", "33.66"))
    assert main(["published", "-i", str(kept), "--table", str(paper), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["explained_by"]
    flags = ["--tolerance", "psnr_y=0.05", "--format", "json"]
    assert main(["published", "-i", str(kept), "--table", str(paper), *flags]) == 0
    assert json.loads(capsys.readouterr().out)[0]["tolerance"] is None  # they agree
    head, line = paper.read_text().splitlines()
    paper.write_text(f"{head},tolerance\n{line},0.05\n")
    assert search(kept, paper)[1] == {}


def test_changes_keep_to_what_8_bit_pictures_hold():
    def texts(protocol, metric, grey=False, size=1):
        return [dict(change) for change in changes(protocol, metric, Decimal(2), grey, size)]

    assert {"grey": "own"} in texts(RGB8, "psnr_y", grey=True)
    assert {"grey": "own"} not in texts(RGB8, "psnr_y")
    assert all("luma" not in one for one in texts(SRCNN, "psnr_y"))
    assert texts(AIDN, "psnr_y") == [{"sr_rounding": "round"}]
    assert all(one["sr_rounding"] == "round" for one in texts(AIDN, "psnr_y", size=2))
    assert not any({"metric", "luma"} <= set(one) for one in texts(RGB8, "psnr_y", size=2))
    assert texts(RGB8, "lpips_alex") == []
    assert "rgb8:mod_crop=12" in reruns(RGB8, "psnr_y")
    assert "aidn:sr_rounding=round" not in reruns(AIDN, "psnr_y")

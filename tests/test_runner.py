import dataclasses
import json
import math

import pandas as pd
import pytest
import toys
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.runner.execute import dry_run, execute
from rescale_bench.runner.plan import choose_metrics, plan
from rescale_bench.runner.request import Request

CLOCKS = ["seconds", "peak_mb"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return toys.picture_folder(tmp_path_factory.mktemp("set") / "toys")


def request_for(images, output, **changes):
    plain = Request(
        methods="nearest,bicubic",
        datasets=str(images),
        scales="1.5,2",
        metrics="psnr_y,ssim_y,psnr_lr,bpp_png",
        output=output,
        threads=1,
    )
    return dataclasses.replace(plain, **changes)


def run(request):
    return execute(request, load_registry(request.plugins), ["test"])


def table(folder):
    return pd.read_parquet(folder / "results.parquet")


def test_every_cell_becomes_rows(images, tmp_path):
    outcome = run(request_for(images, tmp_path))
    rows = table(tmp_path)
    assert (outcome.exit_code, outcome.measured, outcome.cached) == (0, 12, 0)
    assert len(rows) == 12 * 4
    assert set(rows["status"]) == {"ok"}
    bicubic = rows[(rows["method"] == "bicubic") & (rows["metric"] == "psnr_lr")]
    assert bicubic["value"].map(math.isinf).all()
    assert json.loads((tmp_path / "run.json").read_text())["asked"]["scales"] == "1.5,2"
    assert json.loads((tmp_path / "env.json").read_text())


def test_a_second_run_measures_nothing_and_a_new_metric_what_it_needs(images, tmp_path):
    run(request_for(images, tmp_path))
    assert run(request_for(images, tmp_path)).cached == 12
    before = table(tmp_path)
    more = run(request_for(images, tmp_path, metrics="psnr_y,psnr_rgb"))
    assert (more.measured, more.cached) == (12, 0)
    after = table(tmp_path)
    assert set(after["metric"]) == {*before["metric"], "psnr_rgb"}


def test_workers_and_order_change_nothing(images, tmp_path):
    run(request_for(images, tmp_path / "one"))
    run(request_for(images, tmp_path / "two", jobs=2, methods="bicubic,nearest", scales="2,1.5"))
    one, two = (table(tmp_path / name).drop(columns=CLOCKS) for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_what_can_move_a_number_is_in_the_key(images, tmp_path):
    registry = load_registry()

    def keys(**changes):
        return {cell.cell for cell in plan(request_for(images, tmp_path, **changes), registry)}

    base = keys()
    assert len(base) == 12
    for change in (
        {"protocol": "rgb8-whole"},
        {"protocol": "rgb8:border=0"},
        {"codecs": "jpeg:90"},
        {"seed": 1},
        {"datasets": f"{images}@mod12"},
        {"methods": "nearest:antialias=false,bicubic:antialias=false"},
    ):
        assert not base & keys(**change), change
    assert keys(metrics="psnr_y") == base
    assert keys(methods="bicubic:antialias=true,nearest") == base


def test_broken_images_and_methods_are_rows_and_are_tried_again(images, tmp_path):
    mixed = tmp_path / "mixed"
    toys.picture_folder(mixed, count=1)
    (mixed / "broken.png").write_bytes((images / "p0.png").read_bytes()[:700])
    (mixed / "text.png").write_text("not a picture")
    plugins = (toys.plugin_file(tmp_path, toys.MISBEHAVING),)
    asked = request_for(mixed, tmp_path / "run", methods="bicubic,raises,nan,unbuildable", scales="2", plugins=plugins)
    outcome = run(asked)
    assert outcome.exit_code == 1
    rows = table(tmp_path / "run")
    good = rows[rows["status"] == "ok"]
    assert set(good["method"]) == {"bicubic"}
    assert set(good["image"]) == {"p0"}
    errors = rows[rows["status"] == "failed"].drop_duplicates("cell").set_index(["method", "image"])["error"]
    assert "broken.png" in errors["bicubic", "broken"]
    assert "text.png" in errors["bicubic", "text"]
    assert "no idea" in errors["raises", "p0"]
    assert "not finite" in errors["nan", "p0"]
    assert "cannot build" in errors["unbuildable", "p0"]
    (mixed / "broken.png").write_bytes((images / "p1.png").read_bytes())
    again = run(asked)
    rows = table(tmp_path / "run")
    mended = rows[(rows["image"] == "broken") & (rows["method"] == "bicubic") & (rows["status"] == "ok")]
    assert len(mended) == 4
    assert again.cached == 1


def test_an_image_that_changes_during_the_run_is_not_measured(images, tmp_path):
    from rescale_bench.runner.job import Setup
    from rescale_bench.runner.worker import Worker

    folder = toys.picture_folder(tmp_path / "moving", count=1)
    registry = load_registry()
    cells = list(plan(request_for(folder, tmp_path), registry))
    Image.fromarray(toys.picture(48, 56, 9)).save(folder / "p0.png")
    (line,) = Worker(Setup((), {"psnr_y": "1"}, "cpu", 1), registry).run(cells[:1])
    assert line["status"] == "failed"
    assert "changed while the run" in line["error"]


def test_scales_that_a_method_does_not_serve_are_left_out_and_said(images, tmp_path):
    plugins = (toys.plugin_file(tmp_path, toys.FIXED),)
    registry = load_registry(plugins)
    grid = plan(request_for(images, tmp_path, methods="boxes,boxes-type3", scales="1.5,2,3"), registry)
    assert {cell.scale for cell in grid if cell.method == "boxes"} == {"2", "3"}
    assert {cell.scale for cell in grid if cell.method == "boxes-type3"} == {"1.5", "2", "3"}
    assert grid.notes[0] == "boxes serves {2, 3, 4}: 1.5 left out; boxes-type3 serves 1.5"
    with pytest.raises(UsageError, match="nothing to run"):
        plan(request_for(images, tmp_path, methods="boxes", scales="1.5"), registry)


@pytest.mark.parametrize(
    ("methods", "scales", "note"),
    [
        ("bicubic", "1,2", "bicubic serves (1, 64]: 1 left out"),
        ("boxes", "1,2,5", "boxes serves {2, 3, 4}: 2 scales (1 … 5) left out"),
        (
            "boxes",
            "1,1.5,2,2.5",
            "boxes serves {2, 3, 4}: 3 scales (1 … 2.5) left out; boxes-type3 serves 2 scales (1.5 … 2.5)",
        ),
        ("triple", "2.5,3", "triple serves {3, 5}: 2.5 left out"),
        ("boxes-type3", "2,5", "boxes-type3 serves (1, 4]: 5 left out"),
    ],
)
def test_only_a_wrapper_that_serves_them_is_named(images, tmp_path, methods, scales, note):
    triple = toys.FIXED.replace("boxes", "triple").replace("of(2, 3, 4)", "of(3, 5)")
    registry = load_registry([toys.plugin_file(tmp_path, toys.FIXED), toys.plugin_file(tmp_path, triple, "triple")])
    assert plan(request_for(images, tmp_path, methods=methods, scales=scales), registry).notes == (note,)


def test_a_dry_run_counts_and_writes_nothing(images, tmp_path):
    would = dry_run(request_for(images, tmp_path / "run"), load_registry())
    assert would.rows == (("nearest", 6, 6, None), ("bicubic", 6, 6, None))
    assert not (tmp_path / "run").exists()
    run(request_for(images, tmp_path / "run", methods="nearest"))
    would = dry_run(request_for(images, tmp_path / "run"), load_registry())
    assert [row[:3] for row in would.rows] == [("nearest", 6, 0), ("bicubic", 6, 6)]
    assert would.rows[0][3] == 0


def test_metrics_that_fail_leave_the_others_standing(images, tmp_path):
    text = toys.HEADER + (
        "from rescale_bench.api.records import Metric\n"
        "@hookimpl\n"
        "def rescale_bench_metrics():\n"
        "    def boom(sample, options): raise ZeroDivisionError('by design')\n"
        "    shared = dict(summary='', direction='up', judges='hr', version='1')\n"
        "    yield Metric(name='boom', measure=boom, **shared)\n"
        "    yield Metric(name='nothing', measure=lambda s, o: float('nan'), **shared)\n"
    )
    plugins = (toys.plugin_file(tmp_path, text),)
    asked = request_for(images, tmp_path / "run", metrics="psnr_y,boom,nothing", limit=1, plugins=plugins)
    assert run(asked).exit_code == 1
    rows = table(tmp_path / "run").groupby("metric")["status"].agg(set)
    assert rows.to_dict() == {"boom": {"failed"}, "nothing": {"failed"}, "psnr_y": {"ok"}}


def test_stored_outputs_are_what_was_scored(images, tmp_path):
    from rescale_bench.images.files import read_image
    from rescale_bench.metrics.similarity import psnr

    run(request_for(images, tmp_path, keep=True, limit=1, scales="2", metrics="psnr_rgb", protocol="rgb8:border=0"))
    row = table(tmp_path).query("method == 'bicubic'").iloc[0]
    (tmp_path / "outputs" / f"{row['cell']}-sr.png").unlink()
    again = request_for(images, tmp_path, keep=True, limit=1, scales="2", metrics="psnr_rgb", protocol="rgb8:border=0")
    assert run(again).measured == 1  # a picture that is gone is made again
    hr, sr = (read_image(tmp_path / "outputs" / f"{row['cell']}-{name}.png").pixels for name in ("hr", "sr"))
    import torch

    assert psnr(torch.from_numpy(hr.copy()), torch.from_numpy(sr.copy())) == pytest.approx(row["value"], abs=1e-9)


def test_numbers_below_their_limits_are_refused():
    for changes in ({"limit": -1}, {"jobs": 0}, {"threads": -2}, {"seed": -1}):
        with pytest.raises(UsageError, match="is below"):
            Request(**changes)


def test_a_group_stands_for_its_metrics_and_says_what_it_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # without the files that LPIPS and NIQE need
    registry = load_registry()

    def chosen(text, **changes):
        notes = []
        return *choose_metrics(Request(metrics=text, **changes), registry, notes), notes

    metrics, sets, notes = chosen("quality,bpp_png,psnr_y")
    groups = [metric.record.group for metric in metrics]
    assert groups == ["quality"] * (len(groups) - 1) + ["bitrate"]
    assert {"psnr_y", "ssim_y", "psnr_rgb", "ssim_lr"} <= {metric.label for metric in metrics[:-1]}
    assert (sets, notes) == ((), [])
    metrics, sets, notes = chosen("perceptual")
    assert "piqe_lr" in {metric.label for metric in metrics}
    assert not {"lpips_alex", "fid"} & {metric.label for metric in (*metrics, *sets)}
    assert any(note.startswith("perceptual without lpips_alex: ") for note in notes)
    assert "perceptual without fid: measured on stored pictures: `run --keep`" in notes
    everything = {metric.label for metric in chosen("all")[0]}
    assert {"psnr_y", "piqe_lr", "bpp_png", "params", "macs_up", "peak_mb_up"} <= everything
    for name in ("all:x=1", "qualities"):
        with pytest.raises(UnknownNameError):
            chosen(name)


def test_what_a_run_measures_by_default_is_little():
    metrics, _ = choose_metrics(Request(), load_registry(), [])
    assert [metric.label for metric in metrics] == ["psnr_y", "ssim_y", "bpp", "seconds_down", "seconds_up"]

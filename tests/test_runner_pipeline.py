"""The stages of a cell: batches of images, scoring beside the halves, compiled networks."""

import collections
import dataclasses
import json
import shutil
import sys
import threading
import types

import pandas as pd
import pytest
import toys
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.errors import UnavailableError, UsageError
from rescale_bench.images.files import image_size, read_image
from rescale_bench.runner import request as request_module
from rescale_bench.runner.execute import execute
from rescale_bench.runner.job import Setup
from rescale_bench.runner.plan import plan
from rescale_bench.runner.request import Request
from rescale_bench.runner.schedule import batches
from rescale_bench.runner.worker import Worker

CLOCKS = ["seconds", "peak_mb"]
METRICS = "psnr_y,ssim_y,psnr_lr,piqe_lr,bpp_png"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Four images of one size and one of another, the same to every test."""
    folder = toys.picture_folder(tmp_path_factory.mktemp("set") / "toys", count=4)
    for index, path in enumerate(sorted(folder.glob("*.png"))):
        Image.fromarray(toys.picture(48, 56, index)).save(path)
    Image.fromarray(toys.picture(64, 40, 9)).save(folder / "q.png")
    return folder


def request_for(images, output, **changes):
    plain = Request("bicubic,irn", str(images), "2", metrics=METRICS, output=output, threads=1)
    return dataclasses.replace(plain, **changes)


def run(request):
    return execute(request, load_registry(request.plugins), ["test"])


def table(folder):
    rows = pd.read_parquet(folder / "results.parquet").drop(columns=CLOCKS)
    return rows.sort_values(["cell", "metric"]).reset_index(drop=True)


def cells_of(request):
    return list(plan(request, load_registry(request.plugins)))


# --- batches ---------------------------------------------------------------------


def test_images_of_one_size_come_together_and_scales_stay_apart(images, tmp_path):
    plugins = batch_plugin(tmp_path, False)
    asked = request_for(images, tmp_path, methods="boxes2,boxes3", scales="2,1.5", batch=3, plugins=plugins)
    found = list(batches(cells_of(asked)))
    assert sorted(cell.cell for batch in found for cell in batch) == sorted(cell.cell for cell in cells_of(asked))
    # Each method and scale: four of one size in three and one, and the odd one alone.
    assert sorted(len(batch) for batch in found) == sorted(4 * [3, 1, 1])
    for batch in found:
        assert len({(cell.method, cell.scale) for cell in batch}) == 1
        assert len({image_size(cell.path) for cell in batch}) == 1
    assert [len(batch) for batch in batches(cells_of(dataclasses.replace(asked, batch=1)))] == 20 * [1]
    broken = dataclasses.replace(cells_of(asked)[0], path=str(tmp_path / "missing.png"))
    assert list(batches([broken])) == [(broken,)]


def values(folder):
    rows = pd.read_parquet(folder / "results.parquet")
    return rows.set_index(["method", "image", "scale", "metric"])["value"].sort_index()


def test_a_batch_gives_what_single_images_give_in_cells_of_its_own(images, tmp_path):
    asked = request_for(images, tmp_path / "one", methods="bicubic+edsr-baseline,irn,fgrn,car-edsr", scales="2")
    run(asked)
    run(dataclasses.replace(asked, output=tmp_path / "four", batch=4))
    # Networks differ by 1e-6 before rounding, which may turn a pixel of these small images that lies on the edge.
    pd.testing.assert_series_equal(values(tmp_path / "one"), values(tmp_path / "four"), rtol=0, atol=2e-2)
    one, four = (pd.read_parquet(tmp_path / name / "results.parquet") for name in ("one", "four"))
    assert (set(four["dtype"]), set(four["batch"]), set(one["batch"])) == ({"float32"}, {4}, {1})
    assert not set(one["cell"]) & set(four["cell"])


BATCHES = (
    toys.HEADER
    + """
class Boxes:
    parameter_count = 0
    def downscale(self, hr, scale):
        import os
        with open(os.environ["SEEN"], "a") as seen:
            seen.write(f"{hr.shape[0]} ")
        if hr.shape[0] > 1 and LIMIT:
            raise RuntimeError("too much at once")
        if float(hr.flatten(1).mean(1).max()) > 0.9:
            raise ValueError("too bright")
        return F.avg_pool2d(hr, 2)
    def upscale(self, lr, scale, size):
        return F.interpolate(lr, size=size)
def build(states, device, options):
    return Boxes()
@hookimpl
def rescale_bench_methods():
    for name in ("boxes2", "boxes3"):
        scales = NativeScales.between("1", "4")
        yield Method(name=name, summary="", citation="", scales=scales, build=build,
                     traits=Traits(batches=True))
    yield Method(name="alone", summary="", citation="", scales=NativeScales.of(2), build=build)
    yield Method(name="draws", summary="", citation="", scales=NativeScales.of(2), build=build,
                 traits=Traits(batches=True, draws=True))
"""
)


def batch_plugin(folder, limit):
    text = BATCHES.replace("LIMIT", str(limit))
    return (toys.plugin_file(folder, text, f"batches{limit}"),)


def test_only_methods_that_take_batches_and_draw_nothing_get_them(images, tmp_path, monkeypatch):
    seen = tmp_path / "seen.txt"
    monkeypatch.setenv("SEEN", str(seen))
    for methods, sizes in (("boxes2", [1, 4]), ("alone", 5 * [1]), ("draws", 5 * [1])):
        seen.write_text("")
        asked = request_for(
            images,
            tmp_path / methods,
            methods=methods,
            batch=4,
            plugins=batch_plugin(tmp_path, False),
            metrics="psnr_y",
        )
        assert run(asked).exit_code == 0
        assert sorted(map(int, seen.read_text().split())) == sizes, methods
        batch = set(pd.read_parquet(tmp_path / methods / "results.parquet")["batch"])
        assert batch == {4 if methods == "boxes2" else 1}
    notes = run(asked).notes
    assert notes == ("batch: draws draws random numbers; it is measured as without",)


def test_a_batch_that_breaks_is_run_one_by_one_and_fails_alone(images, tmp_path, monkeypatch):
    seen = tmp_path / "seen.txt"
    monkeypatch.setenv("SEEN", str(seen))
    asked = request_for(
        images, tmp_path / "run", methods="boxes2", batch=4, plugins=batch_plugin(tmp_path, True), metrics="psnr_y"
    )
    assert run(asked).exit_code == 0
    assert sorted(map(int, seen.read_text().split())) == [1, 1, 1, 1, 1, 4]
    bright = tmp_path / "bright"
    bright.mkdir()
    for index, level in enumerate((60, 250, 90)):
        Image.new("RGB", (48, 48), (level, level, level)).save(bright / f"{index}.png")
    asked = request_for(
        bright, tmp_path / "more", methods="boxes2", batch=3, plugins=batch_plugin(tmp_path, False), metrics="psnr_y"
    )
    outcome = run(asked)
    assert [line["image"] for line in outcome.failures] == ["1"]
    assert "too bright" in outcome.failures[0]["error"]


def test_a_broken_image_costs_its_batch_nothing(images, tmp_path):
    cells = cells_of(request_for(images, tmp_path, methods="bicubic+edsr-baseline", batch=3))[:3]
    cells = [cells[0], dataclasses.replace(cells[1], image_sha256="0" * 64), cells[2]]
    lines = Worker(Setup((), {"psnr_y": "1"}, "cpu", 1), load_registry()).run(cells)
    assert [line["status"] for line in lines] == ["ok", "failed", "ok"]
    assert "changed while the run" in lines[1]["error"]


def test_batches_go_to_worker_processes_too(images, tmp_path):
    asked = request_for(images, tmp_path / "one", methods="bicubic+edsr-baseline", metrics="psnr_y")
    run(asked)
    run(dataclasses.replace(asked, output=tmp_path / "two", batch=2, jobs=2))
    pd.testing.assert_series_equal(values(tmp_path / "one"), values(tmp_path / "two"), rtol=0, atol=2e-2)


def test_batches_and_guards_do_not_mix():
    for changes in ({"timeout": 5}, {"memory_limit": "1GB"}, {"backend": "dask", "scheduler": "tcp://x:1"}):
        with pytest.raises(UsageError, match="a cell runs alone"):
            Request(batch=2, **changes)
    with pytest.raises(UsageError, match="0 is below 1"):
        Request(batch=0)


# --- beside ----------------------------------------------------------------------


def test_scoring_beside_changes_no_number(images, tmp_path, monkeypatch):
    asked = request_for(images, tmp_path / "alone", scales="2,4")
    run(asked)
    monkeypatch.setattr(request_module, "MANY", 1)
    assert asked.scores_beside("cpu")
    run(dataclasses.replace(asked, output=tmp_path / "beside"))
    pd.testing.assert_frame_equal(table(tmp_path / "alone"), table(tmp_path / "beside"), check_exact=True)


WATCHED = (
    toys.HEADER
    + """
import threading
from rescale_bench.api.records import Metric
import rescale_bench_test_seen as seen

class Watched:
    def downscale(self, hr, scale):
        seen.reached("halves")
        seen.wait("decoded", seen.counts["halves"] + 1)
        return F.avg_pool2d(hr, 2)
    def upscale(self, lr, scale, size):
        seen.threads["halves"].add((threading.current_thread().name, torch.get_num_threads()))
        return F.interpolate(lr, size=size)

def measure(sample, options):
    seen.threads["score"].add((threading.current_thread().name, torch.get_num_threads()))
    seen.reached("scored")
    seen.wait("halves", seen.counts["scored"] + 1)
    return 1.0

@hookimpl
def rescale_bench_methods():
    yield Method(name="watched", summary="", citation="", scales=NativeScales.of(2), build=lambda *_: Watched())
@hookimpl
def rescale_bench_metrics():
    yield Metric(name="watched", summary="", direction="up", judges="hr", version="1", measure=measure)
"""
)


class Seen(types.ModuleType):
    """What the plugin tells: how many images were decoded, entered the halves and were scored, and in which thread."""

    def __init__(self, images):
        super().__init__("rescale_bench_test_seen")
        self.images, self.counts, self.changed = images, collections.Counter(), threading.Condition()
        self.threads = collections.defaultdict(set)

    def reached(self, what):
        with self.changed:
            self.counts[what] += 1
            self.changed.notify_all()

    def wait(self, what, count):
        """Wait until so many images (or all there are) have come that far."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.counts[what] >= min(count, self.images), timeout=600):
                raise TimeoutError(f"{self.counts[what]} {what}, not {count}")


def test_the_last_image_is_scored_and_the_next_decoded_while_one_is_in_the_halves(images, tmp_path, monkeypatch):
    """An image leaves the halves only when the next one is decoded, and is scored only when that is in the halves."""
    import torch

    seen = Seen(images=5)
    monkeypatch.setitem(sys.modules, seen.__name__, seen)

    def read(path):
        image = read_image(path)
        seen.reached("decoded")
        return image

    monkeypatch.setattr("rescale_bench.runner.stages.read_image", read)
    plugins = (toys.plugin_file(tmp_path, WATCHED, "watched"),)
    cells = cells_of(request_for(images, tmp_path, methods="watched", metrics="watched", plugins=plugins))
    before = torch.get_num_threads()
    try:
        worker = Worker(Setup(plugins, {"watched": "1"}, "cpu", 2, beside=True), load_registry(plugins))
        lines = list(worker.stream(batches(cells)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {line["error"] for line in lines} == {""}
    assert [line["cell"] for line in lines] == [cell.cell for cell in cells]
    assert seen.threads["halves"] == {(threading.current_thread().name, 2)}
    ((name, count),) = seen.threads["score"]
    assert name != threading.current_thread().name
    assert count == 1


def test_failures_beside_are_rows(images, tmp_path, monkeypatch):
    monkeypatch.setattr(request_module, "MANY", 1)
    text = toys.HEADER + (
        "from rescale_bench.api.records import Metric\n"
        "@hookimpl\n"
        "def rescale_bench_metrics():\n"
        "    def leave(sample, options): raise SystemExit(3)\n"
        "    yield Metric(name='leaves', summary='', direction='up', judges='hr', version='1', measure=leave)\n"
    )
    plugins = (toys.plugin_file(tmp_path, text, "leaves"),)
    outcome = run(request_for(images, tmp_path / "run", methods="bicubic", metrics="leaves", plugins=plugins))
    assert len(outcome.failures) == 5
    assert {line["error"] for line in outcome.failures} == {"a plugin called sys.exit(3)"}


def test_who_gets_a_thread_beside(monkeypatch):
    monkeypatch.setattr(request_module, "usable_cores", lambda: 16)
    for changes in ({}, {"threads": 8}):
        assert Request(**changes).scores_beside("cpu")
    for changes in ({"threads": 7}, {"jobs": 2}, {"timeout": 5}, {"memory_limit": "1GB"}):
        assert not Request(**changes).scores_beside("cpu")
    assert Request(threads=1).scores_beside("cuda:0")
    assert not Request(jobs=2).scores_beside("cuda")
    monkeypatch.setattr(request_module, "usable_cores", lambda: 2)
    assert not Request().scores_beside("cpu")


def test_a_thread_beside_is_one_of_those_asked_for_and_none_where_memory_is_measured(images, tmp_path):
    import torch

    before = torch.get_num_threads()
    try:
        for metrics, expected in (("psnr_y", (1, 7)), ("psnr_y,peak_mb_up", (0, 8))):
            asked = request_for(images, tmp_path / metrics, methods="bicubic", metrics=metrics, limit=1, threads=8)
            assert run(asked).exit_code == 0
            threads = json.loads((tmp_path / metrics / "env.json").read_text())["threads"]
            assert (threads["beside"], threads["torch"], torch.get_num_threads()) == (*expected, expected[1])
    finally:
        torch.set_num_threads(before)


# --- torch.compile ----------------------------------------------------------------


def test_compiled_cells_are_cells_of_their_own(images, tmp_path):
    plain = {cell.method: cell for cell in cells_of(request_for(images, tmp_path, limit=1))}
    grid = plan(request_for(images, tmp_path, limit=1, compile=True), load_registry())
    compiled = {cell.method: cell for cell in grid}
    assert compiled["bicubic"] == plain["bicubic"]
    assert compiled["irn"].cell != plain["irn"].cell
    assert (compiled["irn"].dtype, compiled["irn"].compiled) == ("float32", True)
    assert "compile: bicubic has nothing to compile" in grid.notes[0]


def test_without_a_compiler_the_run_does_not_start(images, tmp_path, monkeypatch):
    monkeypatch.setattr("rescale_bench.networks.compiling.shutil.which", lambda name: None)
    with pytest.raises(UnavailableError, match="needs a C\\+\\+ compiler"):
        run(request_for(images, tmp_path, compile=True))


SMALL = (
    toys.HEADER
    + """
from rescale_bench.networks.fixed_scale import FixedScaleRescaler
import rescale_bench_test_seen as seen

class Fixed(FixedScaleRescaler):
    def downscale_padded(self, hr): return F.avg_pool2d(hr.sigmoid().logit(), 2)
    def upscale_padded(self, lr):
        seen.compiling.add(("fixed", torch.compiler.is_compiling()))
        return F.interpolate(lr, scale_factor=2.0)

class Whole:
    parameter_count = 3
    def downscale(self, hr, scale):
        seen.compiling.add(("whole", torch.compiler.is_compiling()))
        return F.avg_pool2d(hr.sigmoid().logit(), 2)
    def upscale(self, lr, scale, size): return F.interpolate(lr, size=size)

@hookimpl
def rescale_bench_methods():
    for name, build in (("fixed", lambda *_: Fixed(2)), ("whole", lambda *_: Whole())):
        yield Method(name=name, summary="", citation="", scales=NativeScales.of(2), build=build,
                     traits=Traits(compiles=True))
"""
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # torch's own
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_halves_are_compiled_and_give_the_same(images, tmp_path, monkeypatch):
    module = types.ModuleType("rescale_bench_test_seen")
    module.compiling = set()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    plugins = (toys.plugin_file(tmp_path, SMALL, "small"),)
    asked = request_for(images, tmp_path / "run", methods="fixed,whole", metrics="psnr_y", limit=1, plugins=plugins)
    assert run(asked).exit_code == 0
    assert module.compiling == {("fixed", False), ("whole", False)}
    module.compiling.clear()
    outcome = run(dataclasses.replace(asked, compile=True))
    assert (outcome.exit_code, outcome.notes) == (0, ()), [line["error"] for line in outcome.failures]
    assert {("fixed", True), ("whole", True)} <= module.compiling
    rows = pd.read_parquet(tmp_path / "run" / "results.parquet").groupby("method")
    for _, each in rows:
        assert set(each["compiled"]) == {False, True}
        assert each["value"].max() - each["value"].min() < 1e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_networks_give_the_same_picture(images, tmp_path):
    for methods in ("irn", "bicubic+edsr-baseline"):
        asked = request_for(images, tmp_path / methods, methods=methods, metrics="psnr_y,psnr_lr", limit=1)
        assert run(asked).exit_code == run(dataclasses.replace(asked, compile=True)).exit_code == 0
        rows = pd.read_parquet(tmp_path / methods / "results.parquet").query("metric == 'psnr_y'")
        assert sorted(rows["compiled"]) == [False, True]
        assert rows["value"].max() - rows["value"].min() < 1e-3


# --- a GPU ------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True])
def test_a_run_on_a_device_gives_the_cpus_numbers(images, tmp_path, beside):
    from accelerator import standing_in

    metrics = ("psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "psnr_lr", "ssim_lr", "piqe_lr", "bpp_png", "peak_mb_up")
    cells = cells_of(request_for(images, tmp_path, methods="bicubic,irn,bicubic+edsr-baseline", batch=2))
    registry, labels = load_registry(), dict.fromkeys(metrics, "")
    there = {line["cell"]: line for line in Worker(Setup((), labels, "cpu", 1), registry).stream(batches(cells))}
    with standing_in() as accelerator:
        lines = list(Worker(Setup((), labels, "cuda", 1, beside=beside), registry).stream(batches(cells)))
    assert accelerator.downloads
    assert len(lines) == len(there) == 15
    for line in lines:
        assert line["status"] == "ok", line["error"]
        assert line["values"]["peak_mb_up"]["value"] == 1.0  # what the device says, not the process
        for metric in metrics[:-1]:
            expected = there[line["cell"]]["values"][metric]["value"]
            tolerance = 2e-2 if line["batch"] > 1 else 1e-9
            assert line["values"][metric]["value"] == pytest.approx(expected, abs=tolerance), (line["method"], metric)


def test_what_torch_keeps_on_a_device_is_free_to_its_process():
    from accelerator import standing_in

    from rescale_bench.machine.memory import free_bytes

    with standing_in():
        assert free_bytes("cuda", share=2) == (10**9 + 2 * 10**8) // 2


def test_a_plugin_that_leaves_takes_no_batch_with_it(images, tmp_path, monkeypatch):
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.txt"))
    text = BATCHES.replace("LIMIT", "True").replace('RuntimeError("too much at once")', "SystemExit(4)")
    plugins = (toys.plugin_file(tmp_path, text, "leaving"),)
    assert run(request_for(images, tmp_path / "run", methods="boxes2", batch=4, plugins=plugins)).exit_code == 0

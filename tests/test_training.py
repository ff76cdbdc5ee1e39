"""The training loop: determinism, exact resume, atomic checkpoints, stops, provenance."""

import csv
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import picture

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.errors import MethodError, StoreError, UnknownNameError, UsageError
from rescale_bench.images.files import write_png
from rescale_bench.training import loop, session
from rescale_bench.training import pool as pool_module
from rescale_bench.training.checkpoint import load_checkpoint, save_checkpoint
from rescale_bench.training.display import draw, write_csv
from rescale_bench.training.pool import Sampler, load_pool
from rescale_bench.training.recipe import Schedule, changed, choose_recipe, recipes_of
from rescale_bench.training.session import TrainingJob, train
from rescale_bench.weights import stored as weights

CAR = "layout.early=4,layout.middle=4,layout.width=8,layout.kernel_blocks=1,layout.blocks=1,layout.channels=4"
TINY = {
    ("irn", "x2"): "layout.blocks=1,layout.growth=2",
    ("irn", "x4"): "layout.blocks=1+1,layout.growth=2",
    ("irn", "x8"): "layout.blocks=1+1+1,layout.growth=2",
    ("irn-ld", "x3"): "layout.blocks=1,layout.growth=2",
    ("irn-e", "x4"): "layout.blocks=1,layout.growth=2",
    ("irn-color", "x1"): "layout.blocks=1,layout.growth=2",
    ("fgrn", "x2"): "layout.blocks=1,layout.cells=1,layout.channels=4,layout.growth=2",
    ("fgrn", "x4"): "layout.blocks=1,layout.cells=1,layout.channels=4,layout.growth=2",
    ("edsr-baseline", "x2"): "layout.blocks=1,layout.width=4",
    ("edsr-baseline", "x3"): "layout.blocks=1,layout.width=4",
    ("edsr-baseline", "x4"): "layout.blocks=1,layout.width=4",
    ("car-edsr", "x2"): CAR,
    ("car-edsr", "x4"): CAR,
    ("aidn", "any"): "layout.blocks=4,layout.width=4,layout.mask_width=2,layout.kernels=2,layout.routing_width=4,"
    "layout.experts=2,layout.reduced=2",
    ("hcflow", "x4"): "layout.steps=2,layout.conditional=1,layout.channels=4,layout.growth=2",
    ("t-irn", "x2"): "layout.first=1,layout.growth=2",
    ("t-irn", "x4"): "layout.first=1,layout.second=1,layout.growth=2",
    ("t-sain", "x2"): "layout.first=1,layout.growth=2",
    ("t-sain", "x4"): "layout.first=1,layout.second=1,layout.growth=2",
    ("sain", "x2"): "layout.enhanced=1,layout.plain=1,layout.growth=2",
    ("sain", "x4"): "layout.enhanced=1,layout.plain=1,layout.growth=2",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures, two of them in a sub-folder."""
    root = tmp_path_factory.mktemp("images")
    (root / "more").mkdir()
    for index in range(6):
        write_png((root / "more" if index % 3 == 0 else root) / f"p{index}.png", picture(64, 72, index))
    return root


@pytest.fixture(autouse=True)
def small_validation(monkeypatch):
    """One held-out image, small: the tests are about the loop."""
    monkeypatch.setattr(pool_module, "HELD_OUT_SIDE", 48)
    monkeypatch.setattr(session, "load_pool", lambda folders, side: load_pool(folders, side, 1))


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def job(registry, folder, output, method="irn", part="x2", changes="steps=6", name="small", **more):
    text = f"validations=1,batch=2,patch=32,{TINY[method, part]}"
    recipe = changed(changed(choose_recipe(registry.method(method), name, part), text), changes)
    return TrainingJob(recipe, (folder,), output, tag="small", threads=1, quiet=True, **more)


def tensors(result):
    return {f"{path.name}/{key}": value for path in result.files for key, value in weights.load(path)[0].items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# --- every method ---------------------------------------------------------------------


@pytest.mark.parametrize(("method", "part"), TINY)
def test_every_small_recipe_trains_and_its_weights_load(registry, folder, tmp_path, method, part):
    patch = "patch=48," if part == "x3" else "patch=32,"
    result = train(job(registry, folder, tmp_path, method, part, f"{patch}steps=2,batch=1"), registry)
    assert result.finished
    assert result.steps == 2
    assert any(name.startswith("psnr_y") and 0 < value < 99 for name, value in result.scores.items())
    owner = registry.method(method)
    wanted = {name for scale in owner.scales.values or (2,) for name in owner.parts(scale)}
    assert {path.stem for path in result.files} <= wanted


@pytest.mark.parametrize("method", ["irn-plus", "irn-jpeg"])
def test_second_stages_start_from_the_first(registry, folder, tmp_path, method):
    part = {"irn-plus": "x4", "irn-jpeg": "x2"}[method]
    first = train(job(registry, folder, tmp_path / "first", "irn", part, "steps=2"), registry)
    extra = "settings.alone=1,settings.discriminator_width=2," if method == "irn-plus" else ""
    recipe = changed(
        choose_recipe(registry.method(method), "small", part), f"{extra}validations=1,batch=2,patch=32,steps=3"
    )
    second = TrainingJob(
        recipe, (folder,), tmp_path / "second", "small", threads=1, quiet=True, start=str(first.files[0])
    )
    result = train(second, registry)
    known = weights.read_header(result.files[0]).metadata
    assert json.loads(known["start"]) == {part: weights.sha256(first.files[0])}
    if method == "irn-jpeg":
        recipe = changed(choose_recipe(registry.method(method), "small", "crm"),
                         "validations=1,batch=1,patch=32,steps=2,"
                         "layout.channels=4,layout.blocks=1,layout.growth=2")  # fmt: skip
        third = TrainingJob(
            recipe, (folder,), tmp_path / "third", "small", threads=1, quiet=True, start=str(result.files[0])
        )
        done = train(third, registry)
        assert sorted(path.stem for path in done.files) == ["crm", "x2"]
        assert "psnr_y x2" in done.scores


# --- determinism and resume -------------------------------------------------------------


def test_same_seed_same_weights(registry, folder, tmp_path):
    results = [
        train(job(registry, folder, tmp_path / str(n), seed=seed, changes="steps=3"), registry)
        for n, seed in enumerate((1, 1, 2))
    ]
    first, again, other = map(tensors, results)
    assert same(first, again)
    assert not same(first, other)


def stop_after(monkeypatch, steps):
    """Send SIGTERM to ourselves while the given step runs."""
    take = Sampler.batch

    def watched(self, step):
        if step == steps - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return take(self, step)

    monkeypatch.setattr(Sampler, "batch", watched)


@pytest.mark.parametrize(("method", "part"), [("irn", "x2"), ("aidn", "any"), ("car-edsr", "x2")])
def test_resume_equals_an_unbroken_run(registry, folder, tmp_path, monkeypatch, method, part):
    """Batch norm statistics, Adam's moments, drawn latents, scales and the log all go on as if nothing was."""
    changes = "steps=6,settings.z=gaussian" if method == "irn" else "steps=6"
    whole = train(job(registry, folder, tmp_path / "whole", method, part, changes), registry)
    with monkeypatch.context() as patched:
        stop_after(patched, 4)
        with pytest.raises(KeyboardInterrupt):
            train(job(registry, folder, tmp_path / "broken", method, part, changes), registry)
    broken = job(registry, folder, tmp_path / "broken", method, part, changes, resume=True)
    assert load_checkpoint(broken.checkpoint)["progress"]["step"] == 4
    resumed = train(broken, registry)
    assert same(tensors(whole), tensors(resumed))
    logs = [read_log(tmp_path / name / f"{part}.training") for name in ("whole", "broken")]
    for row in (*logs[0], *logs[1]):
        row.pop("seconds")
    assert logs[0] == logs[1]


def read_log(folder):
    with (folder / "log.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_resume_refuses_another_training(registry, folder, tmp_path):
    train(job(registry, folder, tmp_path, changes="steps=2"), registry)
    with pytest.raises(UsageError, match="resume it"):
        train(job(registry, folder, tmp_path, changes="steps=2"), registry)
    with pytest.raises(UsageError, match="another seed"):
        train(job(registry, folder, tmp_path, changes="steps=2", seed=1, resume=True), registry)
    with pytest.raises(UsageError, match="another recipe"):
        train(job(registry, folder, tmp_path, changes="steps=3", resume=True), registry)


def test_time_moves_the_schedule_and_a_resume_goes_on(registry, folder, tmp_path):
    timed = job(registry, folder, tmp_path, changes="steps=100000", minutes=1.0 / 60, fit=True)
    train(timed, registry)
    progress = load_checkpoint(timed.checkpoint)["progress"]
    assert 1 <= progress["step"] < 5000
    assert progress["position"] > 90_000
    rates = [float(row["rate"]) for row in read_log(timed.folder)]
    assert rates[-1] < 0.1 * max(rates)


def test_minutes_alone_stop_and_keep_the_schedule(registry, folder, tmp_path):
    result = train(job(registry, folder, tmp_path, changes="steps=100000", minutes=0.5 / 60), registry)
    assert not result.finished
    assert load_checkpoint(tmp_path / "x2.training" / "checkpoint.pt")["progress"]["position"] == result.steps


# --- stops ------------------------------------------------------------------------------


def test_nan_stops_with_a_report_and_keeps_the_checkpoint(registry, folder, tmp_path, monkeypatch):
    from rescale_bench_plugins.irn.training import IrnLearner

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    terms = IrnLearner.terms

    def poisoned(self, batch, player):
        found = dict(terms(self, batch, player))
        return found | ({"latent": found["latent"] * math.nan} if batch.step == 2 else {})

    monkeypatch.setattr(IrnLearner, "terms", poisoned)
    with pytest.raises(MethodError, match=r"irn x2 small stopped at step 3: .*latent=nan.*is left as it was"):
        train(job(registry, folder, tmp_path), registry)
    kept = load_checkpoint(tmp_path / "x2.training" / "checkpoint.pt")
    assert kept["progress"]["step"] == 2
    assert all(value.isfinite().all() for value in kept["module"].values())


def test_a_kill_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"number": 1})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"number": 2})
    assert load_checkpoint(path)["number"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"number": 1})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged"):
        load_checkpoint(path)


def test_sigkill_and_sigterm_from_outside(folder, tmp_path):
    """A real process: killed hard it leaves a whole checkpoint; told to stop it exits with 130; then it goes on."""
    code = (
        "import sys\n"
        "from rescale_bench.training import loop, pool\n"
        "loop.CHECKPOINT_SECONDS = 0.0; pool.HELD_OUT_SIDE = 48\n"
        "from rescale_bench.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    flags = (
        f"train irn --part x2 --data {folder} --threads 1 -q --resume -o {tmp_path} "
        "--set validations=1,batch=1,patch=32,steps=100000"
    )
    command = [sys.executable, "-c", code, *f"{flags},{TINY['irn', 'x2']}".split()]
    path, seen = tmp_path / "x2.training" / "checkpoint.pt", 0
    for number, expected in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            wait_for(lambda at=seen: path.is_file() and load_checkpoint(path)["progress"]["step"] > at + 2)
            process.send_signal(number)
            assert process.wait(600) == expected, process.stderr.read()
        finally:
            process.kill()
            process.stderr.close()
        now = load_checkpoint(path)["progress"]["step"]
        assert now > seen
        seen = now


def wait_for(condition, seconds=600):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


# --- data ---------------------------------------------------------------------------------


def test_crops_depend_on_seed_and_step_alone(registry, folder):
    recipe = job(registry, folder, Path(), "aidn", "any").recipe
    pool = load_pool([folder], 32, 1)
    make = lambda seed: Sampler(pool, recipe, seed, torch.device("cpu"))  # noqa: E731
    a, b, c, d = make(0).batch(5), make(0).batch(5), make(0).batch(6), make(1).batch(5)
    assert torch.equal(a.hr, b.hr)
    assert a.scale == b.scale
    assert not torch.equal(a.hr, c.hr)
    assert not torch.equal(a.hr, d.hr)
    assert a.lr.shape[-1] == math.ceil(32 / float(a.scale))
    assert torch.equal(a.normal(a.hr), b.normal(b.hr))


def test_crops_are_pieces_of_the_images(registry, tmp_path):
    """Each of the eight flips and transpositions of a crop is found, and nothing else."""
    image = np.random.default_rng(0).integers(0, 256, (34, 34, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    pool = load_pool([tmp_path], 34, 0)
    recipe = changed(choose_recipe(registry.method("irn"), "small", "x2"), "batch=64,patch=34")
    crops = Sampler(pool, recipe, 0, torch.device("cpu")).batch(0).hr.mul(255).round().byte()
    turned = [np.rot90(mirror, turns) for mirror in (image, image[:, ::-1]) for turns in range(4)]
    eight = {piece.tobytes() for piece in turned}
    found = {crop.permute(1, 2, 0).contiguous().numpy().tobytes() for crop in crops}
    assert found == eight


def test_small_images_are_skipped_and_too_few_refused(tmp_path):
    write_png(tmp_path / "a.png", picture(200, 200))
    write_png(tmp_path / "b.png", picture(40, 200))
    (tmp_path / "c.png").write_bytes(b"no image")
    pool = load_pool([tmp_path], 64, 0)
    assert len(pool.images) == 1
    assert len(pool.skipped) == 2
    with pytest.raises(UsageError, match="2 are needed"):
        load_pool([tmp_path], 64, 1)
    with pytest.raises(UsageError, match="no folder"):
        load_pool([tmp_path / "none"], 64)


def test_held_out_images_are_not_trained_on(folder):
    pool = load_pool([folder], 32, 2)
    assert len(pool.images) == 4
    assert len(pool.held_out) == 2
    held = {crop.tobytes() for crop in pool.held_out}
    assert not any(image[8:56, 12:60].tobytes() in held for image in pool.images)


# --- recipes and schedules -------------------------------------------------------------------


def test_schedules():
    cosine = Schedule("cosine", warmup=0.1, floor=0.0)
    assert cosine.share(0, 100) < 0.1
    assert cosine.share(50, 100) == pytest.approx(0.5)
    assert cosine.share(100, 100) == pytest.approx(0)
    steps = Schedule("steps", (100, 200))
    assert [steps.share(at, 500) for at in (99, 100, 199, 200, 400)] == [1, 0.5, 0.5, 0.25, 0.25]
    assert Schedule("plateau", factor=0.5).share(7, 10, drops=3) == 0.125


def test_irn_paper_recipe_is_the_papers(registry):
    recipe = choose_recipe(registry.method("irn"), "paper", "x4")
    assert (recipe.steps, recipe.batch, recipe.patch, recipe.clip) == (500_000, 16, 144, 10)
    assert recipe.adam.rate * recipe.schedule.share(250_000, recipe.steps) == pytest.approx(0.5e-4)
    assert recipe.layout == {"blocks": "8+8", "growth": 32}


def test_every_recipe_is_found_and_json(registry):
    count = 0
    for method in registry.methods.values():
        for recipe in recipes_of(method) if method.training else ():
            assert choose_recipe(method, recipe.name, recipe.part) == recipe
            assert json.loads(recipe.json())["losses"] == dict(recipe.losses)
            count += 1
    assert count > 30


def test_changes_are_typed(registry):
    recipe = choose_recipe(registry.method("irn"), "small", "x2")
    new = changed(recipe, "batch=3, adam.rate=5e-4, losses.latent=0, schedule.kind=steps, layout.growth=9")
    assert (new.batch, new.adam.rate, new.losses["latent"], new.schedule.kind) == (3, 5e-4, 0.0, "steps")
    assert new.layout["growth"] == 9
    with pytest.raises(UnknownNameError, match=r"layout\.growth"):
        changed(recipe, "layout.growht=9")
    with pytest.raises(UsageError, match="batch is given twice"):
        changed(recipe, "batch=4, batch=8")
    for wrong in (
        "batch=x",
        "batch=-1",
        "batch=0",
        "validations=3",
        "precision=fp8",
        "batch",
        "transpose=2",
        "schedule.kind=no",
    ):
        with pytest.raises(UsageError):
            changed(recipe, wrong)


def test_validation_goes_through_a_codec_of_a_plugin(registry, folder, tmp_path):
    def encode(pixels, options):
        seen.append(pixels.shape)
        return png.encode(pixels, options)

    seen, png = [], registry.codecs["png"]
    plain = job(registry, folder, tmp_path)
    pool = load_pool(plain.data, plain.recipe.patch, 1)
    own = dataclasses.replace(
        registry,
        codecs={**registry.codecs, "mine": dataclasses.replace(png, name="mine", encode=encode)},
        methods={**registry.methods, "irn": dataclasses.replace(registry.methods["irn"], codec="mine")},
    )
    states = {"x2": registry.methods["irn"].initial("x2", 0)}
    assert session.validator(plain, pool, own)(states) == session.validator(plain, pool, registry)(states)
    assert seen == [(24, 24, 3)]


def test_plateau_lowers_the_rate(registry, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(session.Validator, "__call__", lambda self, states: {"psnr_y x2": 30.0})
    timed = job(
        registry,
        folder,
        tmp_path,
        changes="adam.rate=1e-3,validations=200,schedule.kind=plateau,schedule.patience=2,schedule.warmup=0,steps=6",
    )
    train(timed, registry)
    rates = [float(row["rate"]) for row in read_log(timed.folder)]
    # The first score is the best; each second one without a better halves the rate of the next step.
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4])


# --- files ------------------------------------------------------------------------------------


def test_log_and_curves(tmp_path):
    rows = [{"step": n, "position": n, "rate": 0.1, "loss": 1.0 / (n + 1), "volume": -1.0} for n in range(5)]
    rows[-1]["psnr_y x2"] = 31.5
    write_csv(tmp_path / "log.csv", rows)
    assert [row["psnr_y x2"] for row in read_log(tmp_path)] == ["", "", "", "", "31.5"]
    assert draw(tmp_path / "curves.png", rows, "title") == ""
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_and_its_provenance(folder, tmp_path, capsys, monkeypatch):
    flags = ["train", "irn", "--part", "x2", "--data", str(folder), "--threads", "1", "--tag", "mine", "-q"]
    flags += ["--set", f"batch=2,patch=32,steps=3,validations=1,{TINY['irn', 'x2']}"]
    assert main(flags) == 0
    capsys.readouterr()
    assert main(["info", "irn@mine"]) == 0
    text = capsys.readouterr().out
    for expected in ("recipe: {", '"steps": 3', "seed: 0", "images_seen: 6", "hardware:", "commit:", "scores: {"):
        assert expected in text
    (found,) = weights.find("irn", ["x2"], ["mine"], None)
    data = json.loads(found.metadata["data"])
    assert data[folder.name]["images"] == "6"
    assert len(data[folder.name]["sha256"]) == 64


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["bicubic", "--data", "x"], "no training recipes"),
        (["irn", "--part", "x2"], "--data"),
        (["irn", "--data", "x"], "--part: irn has several parts: name x2 or x4"),
        (["irn", "--data", "x", "--part", "x7"], "unknown part"),
        (["irn", "--data", "x", "--recipe", "papre"], "paper"),
        (["irn", "--data", "x", "--part", "x2", "--device", "tpu9"], "--device"),
        (["irn", "--data", "x", "--part", "x2", "--max-minutes", "0"], "--max-minutes"),
        (["irn", "--data", "/no/such/folder", "--part", "x2"], "no folder"),
        (["irn-plus", "--data", "x", "--fit"], "--max-minutes"),
    ],
)
def test_bad_flags_exit_with_2_and_one_line(flags, text, capsys):
    assert main(["train", *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert text in error
    assert "\n" not in error


def test_list_of_recipes(capsys):
    assert main(["train", "fgrn", "--list"]) == 0
    out = capsys.readouterr().out
    assert {"paper", "small", "du-none", "du-bic"} <= set(out.split())


def test_importing_plugins_imports_no_torch():
    code = (
        "import sys; from rescale_bench.api.registry import load_registry; r = load_registry(); "
        "assert r.method('irn').training; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

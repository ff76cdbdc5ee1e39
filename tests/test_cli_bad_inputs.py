"""Bad inputs through the real command line: one clear line, the right exit code, nothing lost."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import toys
from PIL import Image

from rescale_bench.cli import main
from rescale_bench.runs.folder import read_table

RUN = ["run", "-m", "bicubic", "-s", "2", "--metrics", "psnr_y", "--threads", "1", "-q"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return toys.picture_folder(tmp_path_factory.mktemp("set") / "toys", count=2)


@pytest.fixture
def finished(images, tmp_path, capfd):
    """A run with two measured cells."""
    assert main([*RUN, "-d", str(images), "-o", str(tmp_path / "run")]) == 0
    capfd.readouterr()
    return tmp_path / "run"


def fails(capfd, arguments, code, *says):
    """Run and check: exit code, one line on stderr that says it all, no traceback."""
    try:
        found = main(arguments)
    except SystemExit as stop:
        found = stop.code
    captured = capfd.readouterr()
    lines = captured.err.strip().splitlines()
    assert found == code, captured.err
    assert "Traceback" not in captured.err
    assert len(lines) == 1, lines
    for text in says:
        assert text in lines[0]
    return captured


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-m", "bicubik"], ["unknown method 'bicubik'", "did you mean bicubic"]),
        (["-m", "bicubic:antialias=perhaps"], ["--methods", "antialias=perhaps"]),
        (["-m", "bicubic:sharpness=3"], ["unknown option of bicubic", "antialias"]),
        (["-m", "bicubic,,nearest"], ["--methods", "empty entry"]),
        (["-m", "edsr"], ["edsr has no downscaler", "bicubic+edsr"]),
        (["-m", "irn:weights=missing-tag"], ["irn", "missing-tag"]),
        (["-s", "0"], ["--scales", "0 is outside 1 to 64"]),
        (["-s", "4.0:1.1"], ["--scales", "backwards", "1.1:4.0"]),
        (["-s", "two"], ["--scales", "'two' is not a number"]),
        (["--protocol", "rgb9"], ["unknown protocol 'rgb9'", "rgb8"]),
        (["--protocol", "rgb8:luma=hdr"], ["--protocol", "luma=hdr"]),
        (["--metrics", "psnr_z"], ["unknown metric 'psnr_z'", "psnr_y"]),
        (["--codecs", "jpeg:200"], ["--codecs", "quality=200"]),
        (["--codecs", "gif"], ["unknown codec 'gif'"]),
        (["--protocol", "srcnn-y", "--codecs", "jpeg:50"], ["--codecs", "without a file"]),
        (["--limit", "-3"], ["--limit", "-3"]),
        (["-j", "0"], ["--jobs", "0"]),
        (["-j", "many"], ["invalid int value: 'many'"]),
        (["--device", "cuda:77"], ["--device", "cuda:77"]),
        (["--device", "gpu"], ["--device", "gpu"]),
        (["--no-such-flag"], ["unrecognized arguments: --no-such-flag"]),
        (["-d", "Set6"], ["unknown dataset 'Set6'", "did you mean Set5"]),
        (["-d", "/no/such/folder"], ["/no/such/folder"]),
        (["-d", "photos@mod0"], ["--datasets", "photos@mod0"]),
        (["-c", "/no/such.yaml"], ["--config", "/no/such.yaml"]),
        (["--plugin", "/no/such_plugin.py"], ["/no/such_plugin.py does not exist"]),
    ],
)
def test_what_cannot_be_asked_for(capfd, images, tmp_path, arguments, says):
    given = [*RUN, "-d", str(images), "-o", str(tmp_path / "run"), *arguments]
    fails(capfd, given, 2, *says)
    assert not (tmp_path / "run" / "journal.jsonl").exists()


def test_a_dataset_that_is_not_here_says_how_to_get_it(capfd, tmp_path, monkeypatch):
    monkeypatch.delenv("RESCALE_BENCH_DATA", raising=False)
    fails(capfd, [*RUN, "-d", "Set5", "-o", str(tmp_path)], 2, "Set5", "RESCALE_BENCH_DATA", "prepare")


def test_weights_that_are_not_here_say_how_to_get_them(capfd, images, tmp_path):
    given = [*RUN, "-m", "irn:weights=published", "-d", str(images), "-o", str(tmp_path)]
    fails(capfd, given, 2, "irn", "prepare --weights irn")


def test_a_metric_without_its_file_stops_before_the_run(capfd, images, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    given = [*RUN, "--metrics", "niqe_lr", "-d", str(images), "-o", str(tmp_path / "run")]
    fails(capfd, given, 2, "niqe_lr", "prepare --metrics niqe_lr")
    assert not (tmp_path / "run").exists()


def test_an_empty_folder_and_a_file_instead_of_a_folder(capfd, images, tmp_path):
    (tmp_path / "empty").mkdir()
    fails(capfd, [*RUN, "-d", str(tmp_path / "empty")], 2, str(tmp_path / "empty"))
    fails(capfd, [*RUN, "-d", str(images / "p0.png")], 2, "p0.png")


@pytest.mark.parametrize("kind", ["truncated", "text", "sixteen", "unreadable", "empty", "huge"])
def test_one_broken_image_is_a_row_and_the_others_are_measured(capfd, images, tmp_path, kind, monkeypatch):
    folder = tmp_path / "mixed"
    shutil.copytree(images, folder)
    bad = folder / "bad.png"
    if kind == "truncated":
        bad.write_bytes((images / "p0.png").read_bytes()[:900])
    elif kind == "text":
        bad.write_text("hello")
    elif kind == "sixteen":
        Image.fromarray(toys.picture(40, 40)[..., 0].astype("uint16") * 256).save(bad)
    elif kind == "unreadable":
        bad.symlink_to(tmp_path / "nowhere.png")
    elif kind == "empty":
        bad.write_bytes(b"")
    else:
        Image.fromarray(toys.picture(400, 400)).save(bad)
        monkeypatch.setenv("RESCALE_BENCH_MAX_PIXELS", "10000")
    assert main([*RUN, "-d", str(folder), "-o", str(tmp_path / "run")]) == 1
    said = capfd.readouterr()
    assert "1 cell failed" in said.err
    assert "bad.png" in said.err
    rows = pd.read_parquet(tmp_path / "run" / "results.parquet").set_index("image")
    assert rows["status"].to_dict() == {"p0": "ok", "p1": "ok", "bad": "failed"}
    assert "bad.png" in rows["error"]["bad"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("methds: [bicubic]", ["unknown key", "methds", "did you mean methods"]),
        ("scales: {a: 1}", ["scales", "plain value"]),
        ("jobs: several", ["jobs", "'several' is not a whole number"]),
        ("- bicubic", ["must hold 'key: value'"]),
        ("methods: [bicubic", ["is not YAML"]),
        ("protocol: [a, b]", ["protocol", "a list is not expected"]),
        ("seed: 1\nmethods: [bicubic]\nseed: 2", ["seed stands twice, in lines 1 and 3"]),
        ("{seed: 1, 'seed': 1}", ["seed stands twice"]),
    ],
)
def test_configs_that_cannot_be_read(capfd, images, tmp_path, text, says):
    (tmp_path / "c.yaml").write_text(text)
    fails(
        capfd, ["run", "-d", str(images), "-c", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "o")], 2, "c.yaml", *says
    )


def test_an_output_that_is_a_file(capfd, images, tmp_path):
    (tmp_path / "file").write_text("")
    fails(capfd, [*RUN, "-d", str(images), "-o", str(tmp_path / "file")], 2, "output folder", "-o")


def test_a_read_only_output_folder(capfd, images):
    # root may write anywhere but into /proc, so that the test means something as root too
    fails(capfd, [*RUN, "-d", str(images), "-o", "/proc/rescale-bench"], 2, "/proc/rescale-bench", "-o")


def test_a_full_disk_keeps_what_was_measured(capfd, images, tmp_path, finished, monkeypatch):
    from rescale_bench.runs import store

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    given = [*RUN, "-m", "bicubic,nearest", "-d", str(images), "-o", str(finished)]
    fails(capfd, given, 2, "no space left on device", "what was measured before is kept")
    monkeypatch.undo()
    assert main(given) == 0
    assert len(pd.read_parquet(finished / "results.parquet")) == 4


def test_a_disk_that_fills_up_during_the_run(images, tmp_path):
    import resource

    # A limit on file size makes the system itself refuse to write, as a full disk does.
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))

    command = [sys.executable, "-m", "rescale_bench", *RUN, "-m", "bicubic,nearest,bilinear,lanczos3", "-s", "2,3,4",
               "-d", str(images), "-o", str(tmp_path / "run")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == 2
    assert "what was measured before is kept" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    kept = len(read_table(tmp_path / "run"))
    assert 0 < kept < 24
    assert main(command[3:]) == 0
    assert len(read_table(tmp_path / "run")) == 24


def test_a_half_written_journal_is_mended_and_only_its_cell_measured(capfd, images, finished):
    journal = finished / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    assert main([*RUN[:-1], "-d", str(images), "-o", str(finished)]) == 0
    said = capfd.readouterr().err
    assert "half-written" in said
    assert "1 cell measured, 1 taken from the store" in said


def test_a_journal_damaged_in_the_middle_is_named_by_line(capfd, images, finished):
    journal = finished / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("garbage\n" + lines[1])
    fails(capfd, [*RUN, "-d", str(images), "-o", str(finished)], 2, "journal.jsonl, line 1 is damaged")
    assert journal.read_text().endswith(lines[1])


def test_two_runs_on_one_folder(capfd, images, finished):
    from rescale_bench.runs.store import Store

    with Store(finished):
        fails(capfd, [*RUN, "-d", str(images), "-o", str(finished)], 2, "another run", str(os.getpid()))


@pytest.mark.parametrize("text", ["import no_such_package", "x = (", "1/0"])
def test_broken_plugins(capfd, images, tmp_path, text):
    path = toys.plugin_file(tmp_path, text, "wrong")
    fails(capfd, [*RUN, "-d", str(images), "--plugin", path], 2, "plugin 'wrong'")


def test_duplicate_plugins(capfd, images, tmp_path):
    text = toys.FIXED.replace('"boxes"', '"bicubic"')
    path = toys.plugin_file(tmp_path, text, "again")
    fails(capfd, [*RUN, "-d", str(images), "--plugin", path], 2, "again", "'bicubic' is already registered")


def test_two_folders_of_one_name(capfd, images, tmp_path):
    shutil.copytree(images, tmp_path / "toys")
    fails(capfd, [*RUN, "-d", f"{images},{tmp_path / 'toys'}"], 2, "two data sets called toys")


def test_verbs_that_find_no_run(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (["table"], ["published"], ["export", "--leaderboard", "x.md"], ["check", "--baseline", "b.csv"]):
        fails(capfd, arguments, 2, "there is no run")
    fails(capfd, ["table", "-i", "nowhere"], 2, "nowhere")


def test_export_without_a_known_ending(capfd, finished, tmp_path):
    fails(capfd, ["export", "-i", str(finished), "--leaderboard", str(tmp_path / "x.doc")], 2, "x.doc", ".md")
    fails(capfd, ["export", "-i", str(finished)], 2, "--leaderboard FILE")


def test_a_closed_pipe_is_no_error(finished):
    command = f"{sys.executable} -m rescale_bench table -i {finished} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verify", "edsr"], "METHOD: edsr has no downscaler"),
        (["verify", "bicubic", "-s", "two"], "--scales: 'two' is not a number"),
        (["prepare", "-d", "Set5@mod0"], "--datasets: 'Set5@mod0' crops"),
        (["train", "bicubic", "--list"], "METHOD: bicubic has no training recipes"),
        (["new-plugin", "No Name"], "NAME: 'No Name' cannot be a name"),
    ],
)
def test_the_command_line_names_what_its_user_typed(arguments, says, capfd):
    fails(capfd, arguments, 2, f"rescale-bench: {says}")

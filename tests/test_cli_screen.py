"""What a terminal shows: no line wider than it, every sign that it has, and the whole table in a pipe."""

import contextlib
import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import kept_run
import numpy as np
import pandas as pd
import pytest

from rescale_bench.cli import main
from rescale_bench.cli.main import build_parser
from rescale_bench.cli.screen import folded
from rescale_bench.images.files import write_png
from rescale_bench.machine.printable import encodable
from rescale_bench.tables import leaderboard, render
from rescale_bench.tables.fitting import choose_columns
from rescale_bench.tables.rendering import Screen

METRICS = ("psnr_y", "ssim_y", "psnr_rgb", "bpp", "lpips_alex", "psnr_lr")
LONG = "a-method-whose-name-goes-on-and-on:option=first,other=second"


def frame(methods=("bicubic", "irn", LONG), scales=("2", "4"), metrics=METRICS):
    return pd.DataFrame(
        {
            "method": method, "dataset": "Set5", "image": f"i{image}", "scale": scale, "codec": "png",
            "protocol": "rgb8", "metric": metric, "value": 30.0 + image * image + len(method) / 7, "status": "ok",
            "direction": "up", "unit": "dB",
        }
        for method in methods for scale in scales for metric in metrics for image in range(3)
    )  # fmt: skip


def heads(text):
    """Give the first words of the headings of the first table."""
    lines = text.splitlines()
    ruler = next(index for index, line in enumerate(lines) if line.startswith("---"))
    return [word for word in (lines[ruler - 2] or lines[ruler - 1]).split() if word not in "↑↓"]


@contextlib.contextmanager
def stream(encoding, name="stdout", tty=False):
    """Put a stream of an encoding in the place of stdout or stderr."""

    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return tty

    raw = io.BytesIO()
    replaced, wrapped = getattr(sys, name), Terminal(raw, encoding=encoding)
    setattr(sys, name, wrapped)
    try:
        yield lambda: (wrapped.flush(), raw.getvalue().decode(encoding))[1]
    finally:
        setattr(sys, name, replaced)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_named(width):
    board = leaderboard(frame())
    text = render(board, screen=Screen(width, hint="HINT"))
    assert max(map(len, text.partition("Not shown")[0].splitlines())) <= width
    shown = text.partition("Not shown: ")[0]
    hidden = text.partition("Not shown: ")[2].partition(". HINT")[0].split(", ")
    names = {column.name for column in board.sections[0].tables[0].columns}
    assert names == {name for name in names if name.split(" ")[0] in shown.split()} | set(hidden)
    assert {"psnr_y", "method", "scale"}.isdisjoint(hidden)


def test_important_columns_stay_first():
    shown = [heads(render(leaderboard(frame()), screen=Screen(width))) for width in (60, 75, 90, 110, 300)]
    assert shown[0][:3] == ["scale", "method", "psnr_y"]
    assert [len(each) for each in shown] == sorted(len(each) for each in shown)
    order = ["psnr_y", "ssim_y", "bpp", "psnr_rgb"]
    for each in shown[:-1]:
        present = [name in each for name in order]
        assert present == sorted(present, reverse=True)
    assert set(METRICS) <= set(shown[-1])


def test_wide_enough_is_the_same_text_as_in_a_file():
    board = leaderboard(frame())
    assert render(board, screen=Screen(1_000)) == render(board)


def test_long_names_are_shortened_in_the_middle_unless_two_would_look_alike():
    text = render(leaderboard(frame(("bicubic", LONG))), screen=Screen(70))
    assert "a-method" in text
    assert "…" in text
    assert LONG not in text.partition("\n\n*")[0]
    twins = (LONG.replace("first", "1"), LONG.replace("first", "2"))
    both = render(leaderboard(frame(twins)), screen=Screen(70))
    assert all(name in both for name in twins)


def test_a_sweep_is_cut_into_tables_that_fit():
    scales = [f"{1 + index / 10:g}" for index in range(1, 10)]
    text = render(leaderboard(frame(("bicubic", "irn"), scales, ("psnr_y",))), screen=Screen(50))
    assert max(map(len, text.splitlines()[:20])) <= 50
    found = [line.split() for line in text.splitlines() if line.lstrip().startswith("method")]
    assert [name for line in found for name in line if name != "method"] == [f"×{scale}" for scale in scales]
    assert len(found) > 1


def test_columns_are_chosen_by_name():
    board = choose_columns(leaderboard(frame()), ["bpp", "delta"])
    names = [column.name for column in board.sections[0].tables[0].columns]
    assert names == ["scale", "method", "Δ vs bicubic", "bpp"]


def test_the_flags(tmp_path, capsys):
    path = str(tmp_path / "run.parquet")
    frame().to_parquet(path)
    assert main(["table", "-i", path, "--columns", "bpp, images"]) == 0
    assert heads(capsys.readouterr().out) == ["scale", "method", "images", "bpp"]
    assert main(["table", "-i", path, "--columns", "bp"]) == 2
    assert "unknown column 'bp': did you mean bpp" in capsys.readouterr().err


def test_the_run_is_named_with_or_without_a_flag_and_only_once(tmp_path, capsys):
    path = str(tmp_path / "run.parquet")
    frame().to_parquet(path)
    assert main(["table", path]) == 0
    plain = capsys.readouterr().out
    assert main(["table", "-i", path]) == 0
    assert capsys.readouterr().out == plain
    assert main(["table", path, "-i", "other"]) == 2
    assert "--input: one run is read: " in capsys.readouterr().err


def test_a_pipe_gets_everything_whatever_the_window_is(tmp_path, monkeypatch, capsys):
    path = str(tmp_path / "run.parquet")
    frame().to_parquet(path)
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["table", "-i", path]) == 0
    assert capsys.readouterr().out.rstrip("\n") == render(leaderboard(frame()))


@pytest.mark.parametrize("full", [True, False])
def test_a_terminal_gets_what_fits_or_all(tmp_path, monkeypatch, full):
    path = str(tmp_path / "run.parquet")
    frame().to_parquet(path)
    monkeypatch.setenv("COLUMNS", "70")
    with stream("utf-8", tty=True) as written:
        assert main(["table", "-i", path, *["--wide"] * full]) == 0
        text = written()
    assert ("Not shown" in text) != full
    assert (max(map(len, text.splitlines())) > 70) == full


def terminal(arguments, width, folder):
    """Run a command in a terminal so wide, and give its exit code and lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "rescale_bench", *arguments]
    child = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment)
    os.close(slave)
    parts = []
    with contextlib.suppress(OSError):  # the terminal closes with the command
        while part := os.read(master, 65_536):
            parts.append(part)
    os.close(master)
    return child.wait(), b"".join(parts).decode().replace("\r", "").splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("screen")
    extra = [kept_run.line(90 + index, "random-net", name, "2", weights="random") for index, name in enumerate("ab")]
    kept_run.make_run(base / "a", images=("an-image-with-a-long-name", "two"), keep=False, extra=extra)
    kept_run.make_run(base / "b", images=("an-image-with-a-long-name", "two"), scales=("2",), keep=False)
    return base


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["table", "-i", "a"], 0), (["info", "irn"], 0), (["merge", "a", "b", "-o", "both"], None),
        (["run", "-m", "bicubic", "-d", "photos", "-s", "2", "--limit", "1", "--dry-run"], 0),
    ],
)  # fmt: skip
def test_a_terminal_of_eighty_columns_is_wide_enough(folder, arguments, code):
    status, lines = terminal(arguments, 80, folder)
    assert code is None or status == code
    assert lines
    # A path or an address stays whole, so that it can be copied.
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []


def shown(arguments, width, monkeypatch):
    """Run a command in this process as in a terminal so wide, and give its exit code and lines."""
    monkeypatch.setenv("COLUMNS", str(width))
    with stream("utf-8", tty=True) as out, stream("utf-8", "stderr", tty=True) as err:
        try:
            code = main(arguments)
        except SystemExit as leaving:
            code = leaving.code
        return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out() + err()).splitlines()  # a bar moves the cursor


def wider(lines, width):
    """Find lines that a terminal would break; a path or an address stays whole, so that it can be copied."""
    return [line for line in lines if len(line) > width and len(line.split()) > 1]


VERBS = tuple(next(each for each in build_parser()._actions if each.dest == "verb").choices)


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_help_fits_eighty_columns(verb, monkeypatch):
    code, lines = shown([*verb.split(), "--help"], 80, monkeypatch)
    assert code == 0
    assert wider(lines, 80) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["table", "-i", "a", "--rank"], 0), (["compare", "a", "b"], 0), (["check", "-i", "a", "--baseline", "b"], 0),
        (["published", "-i", "a", "--all"], 4), (["list"], 0), (["doctor"], None), (["train", "--list"], None),
        (["plot", "-i", "a"], 0), (["verify", "bicubic"], 0), (["export", "-i", "a", "--leaderboard", "lb.md"], 0),
        (["report", "-i", "a", "-o", "page.html"], 0), (["prepare"], None),
        (["table", "-i", "a", "--stats"], 0), (["table", "-i", "a", "--layout", "paper", "--with-published"], 0),
        (["list", "metrics"], 0), (["list", "codecs"], 0), (["info", "Set5"], 0), (["info", "jpeg"], 0),
        (["info", "psnr_y"], 0), (["info", "rgb8"], 0), (["plot", "-i", "a", "--kind", "rate-distortion"], 2),
        (["published", "-i", "a", "--all", "--no-explain"], 4),
        (["compare", "a", "b", "--fail-if-different"], 1), (["check", "-i", "b", "--baseline", "a"], 0),
        (["choose", "a", "--max-bpp", "1"], 2),
        (["distribution", "-i", "a"], 2), (["weights", "import", "irn", "none.pth"], 2), (["export", "-i", "a"], 2),
        (["new-plugin", "mine"], 0), (["restore", "none.png", "-o", "back.png"], 1),
        (["shrink", "bicubic", "-s", "2", "PHOTO", "-o", "small.png"], 0), (["restore", "small.png", "-o", "b.png"], 0),
        (["run", "-m", "bicubic", "-d", "photos", "-s", "2", "--limit", "1", "--threads", "1", "-o", "run"], 0),
        (["run", "-m", "bicubic", "-d", "none", "-s", "2"], 2), (["table", "-i", "none"], 2),
        (["run", "-m", "bicubic", "-d", "photos", "-s", "2", "--metrics", "all", "--dry-run"], 0),
        (["score", "--name", "theirs", "--hr", "photos", "--sr", "PHOTOS", "--limit", "1", "-s", "2",
          "-o", "scored"], 0),
    ],
)  # fmt: skip
def test_what_every_verb_prints_fits_eighty_columns(folder, arguments, code, monkeypatch):
    monkeypatch.chdir(folder)
    photos = folder / "photos"
    if not photos.is_dir():
        photos.mkdir()
        write_png(photos / "astronaut.png", np.full((512, 512, 3), 99, np.uint8))
    arguments = [str({"PHOTOS": photos, "PHOTO": photos / "astronaut.png"}.get(each, each)) for each in arguments]
    status, lines = shown(arguments, 80, monkeypatch)
    assert code is None or status == code, lines
    assert lines
    assert wider(lines, 80) == []


@pytest.mark.parametrize("verb", ["table", "compare"])
def test_a_wide_terminal_is_used(folder, verb, monkeypatch):
    monkeypatch.chdir(folder)
    frame().to_parquet("wide.parquet")
    arguments = {"table": ["table", "-i", "wide.parquet"], "compare": ["compare", "a", "b"]}[verb]
    narrow, wide = (shown(arguments, width, monkeypatch)[1] for width in (80, 200))
    assert any(line.startswith("Not shown") for line in narrow)
    assert not any(line.startswith("Not shown") for line in wide)
    assert max(map(len, narrow)) <= 80 < max(map(len, wide)) <= 200


@pytest.mark.parametrize(
    ("text", "plain"), [("psnr ↑ ×2 ±0.1 Δ ∞ –", "psnr up x2 +-0.1 diff inf -"), ("é", r"\xe9"), ("plain", "plain")]
)
def test_signs_that_ascii_lacks_have_plain_forms(text, plain):
    assert encodable(text, "ascii") == plain
    assert encodable(text, "utf-8") == text


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize(
    "arguments",
    [["table", "-i", "a"], ["table", "-i", "a", "--format", "html"], ["compare", "a", "b"], ["list"], ["info", "irn"],
     ["check", "-i", "a", "--baseline", "b"], ["table", "-i", "ü×"], ["--help"]],
)  # fmt: skip
def test_no_verb_fails_where_signs_cannot_be_encoded(folder, monkeypatch, encoding, arguments):
    monkeypatch.chdir(folder)
    with stream(encoding) as out, stream(encoding, "stderr") as err:
        with contextlib.suppress(SystemExit):
            assert main(arguments) in (0, 2)
        assert "Traceback" not in out() + err()
        assert out() + err() != ""


def test_plain_forms_stay_aligned():
    text = render(leaderboard(frame()), screen=Screen(encoding="ascii"))
    assert text.isascii()
    lines = text.splitlines()
    ruler = next(index for index, line in enumerate(lines) if line.startswith("---"))
    assert {len(line) for line in lines[ruler : ruler + 4]} == {len(lines[ruler])}


def test_json_stays_what_it_says_in_ascii(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with stream("ascii") as out:
        assert main(["list", "codecs", "--json"]) == 0
        plain = json.loads(out())
    with stream("utf-8") as out:
        main(["list", "codecs", "--json"])
        assert json.loads(out()) == plain


def test_folding_keeps_words_and_indents_what_follows():
    assert folded("  one two three", 9, hang=2) == "  one two\n    three"
    assert folded("short /a/very/long/path", 10) == "short\n  /a/very/long/path"
    assert folded("a  b", 0) == "a  b"

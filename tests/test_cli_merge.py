"""`merge`: the journal's own rules over several runs, refusals by name, provenance, and a result that resumes."""

import json

import kept_run
import pandas as pd
import pytest
import toys

from rescale_bench.cli import main
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.store import Store

RUN = ["run", "--metrics", "psnr_y,ssim_y,seconds_up", "--threads", "1"]
ABOUT = kept_run.ABOUT | {"seconds_up": {**kept_run.ABOUT["psnr_y"], "repeatable": False}}


def write(folder, *lines, env=None):
    with Store(folder) as store:
        store.write_about({"history": [f"run {folder.name}"], "metrics": ABOUT})
        store.write_environment(env or {"python": folder.name})
        store.extend(lines)
    return folder


def line(value, cell=1, metric="psnr_y", status="ok", version="1"):
    entry = {"status": status, "version": version, "value": value}
    return kept_run.line(cell, "bicubic", f"i{cell}", "2") | {"values": {metric: entry}}


def snapshot(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def merge(capsys, *arguments):
    code = main(["merge", *map(str, arguments)])
    return code, capsys.readouterr().err


def values(folder):
    return {
        cell: {m: e["value"] for m, e in found["values"].items()} for cell, found in Run(folder.parent).lines().items()
    }


@pytest.fixture
def out(tmp_path):
    return tmp_path / "new" / "out"


def test_cells_and_metrics_add_up_and_the_sources_stay(tmp_path, out, capsys):
    a = write(tmp_path / "a", line(30.0), line(31.0, cell=2))
    b = write(tmp_path / "b", line(30.0), line(0.9, metric="ssim_y"), line(float("inf"), cell=3))
    before = snapshot(a) | snapshot(b)
    code, said = merge(capsys, a, b, "-o", out)
    assert code == 0
    assert "3 cells (1-a: 2, 2-b: 2; 1 held more than once)" in said
    assert snapshot(a) | snapshot(b) == before
    keys = [f"{n:024x}" for n in (1, 2, 3)]
    assert values(out / "journal.jsonl") == {
        keys[0]: {"psnr_y": 30.0, "ssim_y": 0.9}, keys[1]: {"psnr_y": 31.0}, keys[2]: {"psnr_y": float("inf")},
    }  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), read_table(out))
    assert list(out.parent.iterdir()) == [out]


def test_what_each_source_said_of_itself_is_kept(tmp_path, out, capsys):
    a, b, c = (write(tmp_path / name, line(30.0, cell=n)) for n, name in enumerate("abc"))
    assert merge(capsys, a, b, "-o", out)[0] == 0
    run, env = (json.loads((out / name).read_text()) for name in ("run.json", "env.json"))
    assert env == {"1-a": {"python": "a"}, "2-b": {"python": "b"}}
    assert run["history"] == ["run a", "run b", f"rescale-bench merge {a} {b} -o {out}"]
    assert run["metrics"] == ABOUT
    assert (out / "sources" / "2-b" / "env.json").read_bytes() == (b / "env.json").read_bytes()
    again = tmp_path / "again"
    assert merge(capsys, c, out, "-o", again)[0] == 0
    assert {found["source"] for found in Run(again).lines().values()} == {
        "1-c", "2-out/1-a", "2-out/2-b",
    }  # fmt: skip
    assert (again / "sources" / "2-out" / "sources" / "1-a" / "run.json").is_file()


def test_differing_numbers_are_refused_by_name_unless_one_side_is_preferred(tmp_path, out, capsys):
    a, b = write(tmp_path / "a", line(30.0)), write(tmp_path / "b", line(30.000000000000004), line(1.0, cell=2))
    code, said = merge(capsys, a, b, "-o", out)
    assert code == 2
    cell = f"cell {1:024x} (bicubic, photos/i1 ×2, png, rgb8): psnr_y is 30.0 in 1-a and 30.000000000000004 in 2-b"
    assert f"{cell}; choose with --prefer first or --prefer last" in said
    assert not out.parent.exists()
    for prefer, value in (("first", 30.0), ("last", 30.000000000000004)):
        target = tmp_path / prefer
        assert merge(capsys, a, b, "-o", target, "--prefer", prefer)[0] == 0
        found = values(target / "journal.jsonl")
        assert found[f"{1:024x}"] == {"psnr_y": value}
        assert list(found) == [f"{n:024x}" for n in (1, 2)]


def test_the_third_run_is_held_against_the_first(tmp_path, out, capsys):
    folders = [write(tmp_path / name, line(value)) for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0))]
    code, said = merge(capsys, *folders, "-o", out)
    assert code == 2
    assert "1.0 in 1-a and 2.0 in 3-c" in said


def test_undefined_against_a_number_and_another_version_are_conflicts(tmp_path, out, capsys):
    a = write(tmp_path / "a", line(30.0))
    for name, other, says in (
        ("b", line(None, status="undefined"), "30.0 in 1-a and undefined in 2-b"),
        ("c", line(31.0, version="2"), "30.0 (version 1) in 1-a and 31.0 (version 2) in 2-c"),
    ):
        code, said = merge(capsys, a, write(tmp_path / name, other), "-o", out)
        assert code == 2
        assert says in said


@pytest.mark.parametrize("prefer", [[], ["--prefer", "first"], ["--prefer", "last"]])
def test_a_failure_hides_nothing_and_clocks_may_differ(tmp_path, out, capsys, prefer):
    fine = line(30.0)
    broken = kept_run.failed(line(30.0), "out of memory")
    late = line(2.0, cell=2, metric="seconds_up")
    for order in ((fine, broken), (broken, fine)):
        names = ("a", "b") if order[0] is fine else ("c", "d")
        clocks = (line(1.0, cell=2, metric="seconds_up"), late)
        folders = [write(tmp_path / n, one, clock) for n, one, clock in zip(names, order, clocks, strict=True)]
        target = out.with_name(names[0])
        assert merge(capsys, *folders, "-o", target, *prefer)[0] == 0
        found = Run(target).lines()
        assert found[f"{1:024x}"]["status"] == "ok"
        assert found[f"{1:024x}"]["values"]["psnr_y"]["value"] == 30.0
        clock = found[f"{2:024x}"]["values"]["seconds_up"]["value"]
        assert clock == (1.0 if prefer[1:] == ["first"] else 2.0)


def test_kept_outputs_are_copied_not_shared(tmp_path, out, capsys):
    a = kept_run.make_run(tmp_path / "a", images=("one",), scales=("2",))
    b = kept_run.make_run(tmp_path / "b", images=("one",), scales=("2",), methods=("nearest",))
    assert merge(capsys, a, b, "-o", out)[0] == 0
    names = {path.name for path in (a / "outputs").iterdir()}
    assert {path.name for path in (out / "outputs").iterdir()} == names
    name = min(names)
    assert (out / "outputs" / name).stat().st_ino not in {
        (folder / "outputs" / name).stat().st_ino for folder in (a, b)
    }


def test_what_cannot_be_merged(tmp_path, out, capsys):
    a, b = write(tmp_path / "a", line(30.0)), write(tmp_path / "b", line(31.0, cell=2))
    (tmp_path / "x.csv").write_text("")
    for arguments, says in (
        ((a, "-o", out), "at least two different run folders"),
        ((a, b, tmp_path / "b" / ".", "-o", out), "at least two different run folders"),
        ((a, tmp_path / "x.csv", "-o", out), "x.csv is no run folder"),
        ((a, b, "-o", b), f"{b} exists"),
        ((a, b, "-o", a / "c"), "lies inside a run"),
        ((a, b, "-o", tmp_path / "x.csv" / "c"), "cannot write"),
    ):
        code, said = merge(capsys, *arguments)
        assert code == 2
        assert len(said.strip().splitlines()) == 1
        assert says in said
    assert not out.exists()


def test_nothing_is_left_of_a_merge_that_fails_midway(tmp_path, out, capsys, monkeypatch):
    a, b = write(tmp_path / "a", line(30.0)), write(tmp_path / "b", line(31.0, cell=2))

    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "write_table", full)
    code, said = merge(capsys, a, b, "-o", out)
    assert code == 2
    assert "no space left" in said
    assert list(out.parent.iterdir()) == []


def test_a_merged_run_is_a_run(tmp_path, out, capsys):
    """table, check, compare and report read it, and `run` takes every cell from it and measures what is missing."""
    images = ["-d", str(toys.picture_folder(tmp_path / "toys", count=2))]
    for name, methods, scales in (("a", "bicubic", "2"), ("b", "bicubic,nearest", "3")):
        assert main([*RUN, *images, "-m", methods, "-s", scales, "-o", str(tmp_path / name)]) == 0
    assert merge(capsys, tmp_path / "a", tmp_path / "b", "-o", out)[0] == 0
    assert main(["compare", str(tmp_path / "b"), str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["numbers"], found["equal"]) == (8, 8)
    for verb in (["table"], ["check", "--baseline", str(tmp_path / "a")], ["report", "-q"]):
        assert main([*verb, "-i", str(out)]) == 0, verb
    capsys.readouterr()
    again = [*RUN, *images, "-m", "bicubic,nearest", "-s", "2,3", "-o", str(out)]
    assert main(again) == 0
    assert "2 cells measured, 6 taken from the store" in capsys.readouterr().err
    once = read_table(out)
    assert main([*RUN, *images, "-m", "bicubic,nearest", "-s", "2,3", "-o", str(tmp_path / "whole")]) == 0
    whole = read_table(tmp_path / "whole")
    timed = ["seconds", "peak_mb", "value"]
    pd.testing.assert_frame_equal(once.drop(columns=timed), whole.drop(columns=timed))
    fixed, expected = (table[table["repeatable"].astype(bool)]["value"] for table in (once, whole))
    assert len(fixed) == 16
    pd.testing.assert_series_equal(fixed, expected, check_exact=True)

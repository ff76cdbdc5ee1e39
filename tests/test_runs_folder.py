"""Runs as folders and as files: what is read, from where, and what is refused."""

import json
import math
import os
import shutil

import kept_run
import pandas as pd
import pytest

from rescale_bench.errors import StoreError
from rescale_bench.runs.folder import Run, newest_run, read_table
from rescale_bench.runs.outputs import Outputs
from rescale_bench.runs.store import Store
from rescale_bench.runs.table import write_rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A kept run whose texts look like numbers, with an infinite value and a failed cell."""
    folder = tmp_path_factory.mktemp("runs") / "007"
    values = {"psnr_y": {"status": "ok", "version": "1", "value": math.inf}}
    texts = {
        "dataset": "007",
        "image": "1e5",
        "options": "seed=01",
        "weights": "nan",
        "codec": "null",
        "values": values,
    }
    failed = {"status": "failed", "version": "1", "value": None, "error": "NA"}
    return kept_run.make_run(
        folder,
        extra=[
            kept_run.line(90, "bicubic", "one", "2") | texts | {"values": values},
            kept_run.line(91, "bicubic", "x", "2") | {"status": "failed", "values": {"psnr_y": failed}},
        ],
    )


@pytest.mark.parametrize(
    ("name", "form"), [("r.parquet", "parquet"), ("r.csv", "csv"), ("r.csv.gz", "csv"), ("r.json", "json")]
)
def test_every_file_gives_the_rows_of_the_folder(run, tmp_path, name, form):
    rows = read_table(run)
    write_rows(tmp_path / "deep" / name, rows, form)
    pd.testing.assert_frame_equal(read_table(tmp_path / "deep" / name), rows, check_dtype=form == "parquet")
    odd = rows[rows["dataset"] == "007"].iloc[0]
    assert (odd["image"], odd["options"], odd["weights"], odd["codec"]) == ("1e5", "seed=01", "nan", "null")
    assert odd["value"] == math.inf


def test_a_journal_alone_is_a_run(run, tmp_path):
    shutil.copy(run / "journal.jsonl", tmp_path / "part.jsonl")
    rows = read_table(tmp_path / "part.jsonl")
    pd.testing.assert_series_equal(rows["value"], read_table(run)["value"])


def test_the_table_of_a_folder_leads_to_what_stands_beside_it(run, tmp_path):
    with Store(run) as store:
        assert store.write_table() == Run(run).table
    for path in (run, run / "results.parquet"):
        told = Run(path)
        assert (told.folder, told.name, told.history) == (run, "007", (kept_run.COMMAND,))
        assert told.environment["python"] == "3.11"
        assert told.outputs.files(f"{1:024x}")
    bare = Run(tmp_path / "rows.csv")
    assert (bare.folder, bare.name, bare.asked, bare.history, bare.metrics) == (None, "rows.csv", {}, (), {})
    assert bare.outputs.find(f"{1:024x}", "hr") is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"asked": 1, "history": "x", "metrics": {"psnr_y": 3}}'])
def test_a_damaged_description_is_none(run, tmp_path, content):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(content)
    told = Run(tmp_path / "run")
    assert (told.asked, told.history, told.metrics) == ({}, (), {})
    assert len(told.rows()) == len(Run(run).rows())


def test_what_run_json_says_of_a_metric_is_of_the_columns_types(tmp_path):
    said = {"psnr_y": {"decimals": "two", "unit": "dB", "direction": 3, "repeatable": 1, "strange": "x"}}
    (tmp_path / "run.json").write_text(json.dumps({"metrics": said}))
    assert Run(tmp_path).metrics == {"psnr_y": {"unit": "dB"}}


def test_a_run_in_which_everything_failed_has_a_table(tmp_path):
    failed = {"psnr_y": {"status": "failed", "version": "1", "value": None, "error": "no"}}
    with Store(tmp_path) as store:
        store.append(kept_run.line(1, "bicubic", "one", "2") | {"status": "failed", "values": failed})
        store.write_table()
    rows = read_table(tmp_path)
    assert rows["value"].isna().all()
    assert set(rows["status"]) == {"failed"}


def test_the_newest_run_is_the_one_written_last(tmp_path):
    assert newest_run(tmp_path) is None
    for name in "abc":
        with Store(tmp_path / name) as store:
            store.append(kept_run.line(1, "bicubic", "one", "2"))
    os.utime(tmp_path / "b" / "journal.jsonl", (2**32, 2**32))
    assert newest_run(tmp_path) == tmp_path / "b"


@pytest.mark.parametrize("cell", ["../secret", "", "..", "A" * 24, f"{1:024x}/", f"{1:024x}\n", "٣" * 24])
def test_foreign_names_lead_to_no_file(run, cell):
    outputs = Run(run).outputs
    for part in ("hr", "lr", "sr"):
        assert outputs.find(cell, part) is None
    assert outputs.files(cell) == {}
    assert Outputs(None).files(f"{1:024x}") == {}


def test_what_a_killed_writer_left_goes_when_the_run_goes_on(tmp_path):
    Store(tmp_path).close()
    (tmp_path / ".results.parquet.0a1b2c3d.tmp").write_text("half")
    Store(tmp_path).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["journal.jsonl", "lock"]


def test_what_is_no_run_is_named(tmp_path):
    (tmp_path / "x.json").write_text('[{"method": "bicubic"}]')
    with pytest.raises(StoreError, match=r"x\.json is no tidy run: it lacks the columns dataset, image"):
        read_table(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(StoreError, match=r"cannot read .*x\.json as a run"):
        read_table(tmp_path / "x.json")
    with pytest.raises(StoreError, match="holds no run"):
        Run(tmp_path).cells()


def test_cells_lists_what_files_finds(tmp_path):
    whole, half = f"{1:024x}", f"{2:024x}"
    outputs = Outputs(tmp_path / "outputs")
    assert outputs.cells() == Outputs(None).cells() == frozenset()
    outputs.folder.mkdir()
    for name in (*(f"{whole}-{part}.png" for part in ("hr", "lr", "sr")), f"{half}-sr.png", "notes-sr.png", "x.txt"):
        (outputs.folder / name).touch()
    assert outputs.cells() == {whole}
    assert outputs.files(whole)
    assert not outputs.files(half)

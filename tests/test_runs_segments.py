"""Segments: what was sealed is the run that it was, and each fault of a segment is one line that says what to do."""

import shutil

import kept_run
import pandas as pd
import pytest

from rescale_bench.errors import StoreError, UsageError
from rescale_bench.runs.folder import Run, read_table
from rescale_bench.runs.merge import merge_runs
from rescale_bench.runs.store import Store

EVERY = 5
"""Lines that become a segment here."""


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_SEGMENT_LINES", str(EVERY))


@pytest.fixture
def unsealed(tmp_path, monkeypatch):
    """A run of 12 cells, some of them measured again, whose lines are all in the journal."""
    monkeypatch.setenv("RESCALE_BENCH_SEGMENT_LINES", "1000")
    first = kept_run.line(1, "nearest", "one", "2")
    extra = [
        kept_run.failed(first, "no"),  # wipes nothing
        first
        | {
            "values": {"ssim_y": {"status": "ok", "version": "1", "value": float("inf"), "new": [1, "x"]}},
            "note": "odd",
        },
        kept_run.failed(kept_run.line(90, "bicubic", "x", "2"), "twice"),
        kept_run.failed(kept_run.line(90, "bicubic", "x", "2"), "thrice"),
    ]
    run = kept_run.make_run(tmp_path / "unsealed", keep=False, extra=extra)
    monkeypatch.setenv("RESCALE_BENCH_SEGMENT_LINES", str(EVERY))
    return run


@pytest.fixture
def run(unsealed, tmp_path):
    """The same run, sealed while it was written: 3 segments and one line."""
    lines = (unsealed / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 3 * EVERY + 1
    with Store(tmp_path / "run") as store:
        store.write_about(Run(unsealed).about)
    journal = tmp_path / "run" / "journal.jsonl"
    for line in lines:
        with journal.open("a") as handle:
            handle.write(line + "\n")
        Store(tmp_path / "run").close()
    assert len(segments(tmp_path / "run")) == 3
    assert len(journal.read_text().splitlines()) == 2
    return tmp_path / "run"


def segments(folder):
    return sorted((folder / "segments").iterdir())


def refused(folder, *parts):
    """Check that reading and writing refuse a folder with one line that holds all parts, and change nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    for attempt in (read_table, Store):
        with pytest.raises(StoreError) as raised:
            attempt(folder)
        text = str(raised.value)
        assert "\n" not in text
        assert all(str(part) in text for part in parts), text
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_what_was_sealed_reads_as_before(unsealed, run, tmp_path):
    expected = read_table(unsealed)
    pd.testing.assert_frame_equal(read_table(run), expected, check_exact=True)
    assert Run(run).lines() == Run(unsealed).lines()
    assert Run(run).lines()[f"{1:024x}"]["note"] == "odd"
    assert Run(run).lines()[f"{1:024x}"]["values"]["ssim_y"]["new"] == [1, "x"]  # of a later version: kept
    assert Run(run).lines()[f"{90:024x}"]["error"] == "thrice"
    shutil.copytree(unsealed, tmp_path / "at once")
    with Store(tmp_path / "at once") as store:  # a long journal of an earlier version
        assert store.write_table() == tmp_path / "at once" / "results.parquet"
    assert len(segments(tmp_path / "at once")) == 1
    pd.testing.assert_frame_equal(read_table(tmp_path / "at once"), expected, check_exact=True)
    with Store(tmp_path / "at once") as store:
        assert store.table_is_current()
        store.append(kept_run.line(91, "bicubic", "y", "2"))
        assert not store.table_is_current()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_kill_between_the_segment_and_the_journal(unsealed, run, place):
    """The segment is written, the journal still holds its lines: nothing is lost, nothing counts twice."""
    expected = read_table(run)
    lines = (unsealed / "journal.jsonl").read_text().splitlines(keepends=True)
    for segment in segments(run)[place + 1 :]:
        segment.unlink()
    listing = f'{{"schema":3,"run":"{run_name(run)}","segments":{[s.name for s in segments(run)[:place]]}}}\n'
    journal = "".join(lines[place * EVERY : (place + 1) * EVERY])
    (run / "journal.jsonl").write_text(listing.replace("'", '"') * bool(place) + journal)
    kept = read_table(run)
    held = {f'"cell":"{cell}"' for cell in kept["cell"]}
    assert all(any(cell in line for cell in held) for line in lines[: (place + 1) * EVERY])
    with Store(run) as store:
        pd.testing.assert_frame_equal(read_table(run), kept)
        for line in Run(unsealed).lines().values():
            store.append(line)
    pd.testing.assert_frame_equal(read_table(run), expected, check_exact=True)


def run_name(folder):
    from pyarrow import parquet

    return parquet.read_schema(segments(folder)[0]).metadata[b"rescale-bench run"].decode()


FAULTS = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "one bit": lambda path: path.write_bytes(bytes([*(raw := path.read_bytes())[:300], raw[300] ^ 4, *raw[301:]])),
    "noise": lambda path: path.write_text("noise"),
}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("place", [0, 2])
def test_a_damaged_segment_is_named_and_costs_its_cells(unsealed, run, kind, place):
    segment = segments(run)[place]
    FAULTS[kind](segment)
    refused(run, segment, "is damaged", "put it back from a copy of the run, or delete it and delete line 1 of")
    segment.unlink()
    refused(run, segment, "is missing", "put it back from a copy of the run, or delete line 1 of")
    journal = run / "journal.jsonl"
    journal.write_text(journal.read_text().partition("\n")[2])
    with Store(run) as store:
        known = store.lines()
        assert len(Run(unsealed).lines()) - len(known) in range(1, EVERY + 1)
        for line in Run(unsealed).lines().values():  # what a run measures again
            store.append(line)
    assert Run(run).lines() == Run(unsealed).lines()


def test_a_damaged_list_of_segments_costs_nothing(run):
    expected, journal = read_table(run), run / "journal.jsonl"
    content = journal.read_text()
    journal.write_text(content.replace('"run":"', '"run":"f'))
    refused(run, journal, "line 1 is damaged; delete it (what the segments hold is kept)")
    journal.write_text(content.partition("\n")[2])
    pd.testing.assert_frame_equal(read_table(run), expected, check_exact=True)
    journal.unlink()
    with pytest.raises(StoreError, match="is missing; put it back from a copy, or run once more"):
        read_table(run)
    Store(run).close()
    assert Run(run).lines()[f"{90:024x}"]["error"] == "twice"  # "thrice" stood in the journal


def test_segments_of_another_run_are_named(run, unsealed, tmp_path):
    shutil.copytree(unsealed, tmp_path / "other")
    Store(tmp_path / "other").close()
    (foreign,) = segments(tmp_path / "other")
    for name in (foreign.name, f"000009{foreign.name[6:]}", "000002-backup.parquet"):
        shutil.copy(foreign, run / "segments" / name)
        refused(run, run / "segments" / name, "is no segment of this run; move it away")
        (run / "segments" / name).unlink()
    (run / "segments" / ".000004-00000000.parquet.ab.tmp").write_text("half")  # of a kill while it was written
    Store(run).close()
    assert len(segments(run)) == 3


def test_a_disk_that_takes_no_segment_keeps_the_journal(unsealed, tmp_path):
    (unsealed / "segments").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write .*segments: .*; what was measured before is kept: make room"):
        Store(unsealed)
    (unsealed / "segments").unlink()
    before = Run(unsealed).lines()
    Store(unsealed).close()
    assert Run(unsealed).lines() == before


def test_runs_with_segments_are_merged(run, unsealed, tmp_path):
    shutil.copytree(unsealed, tmp_path / "b")
    with Store(tmp_path / "b") as store:
        store.append(kept_run.line(91, "bicubic", "y", "2"))
    merged = merge_runs([run, tmp_path / "b"], tmp_path / "both", "merge")
    assert (merged.cells, merged.shared) == (14, 13)
    found = Run(tmp_path / "both").lines()
    assert {line["source"] for line in found.values()} == {"2-b"}
    assert {key: {**line, "source": ""} for key, line in found.items() if key != f"{91:024x}"} == {
        key: {**line, "source": ""} for key, line in Run(unsealed).lines().items()
    }
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "both" / "results.parquet"), read_table(tmp_path / "both"))


@pytest.mark.parametrize("text", ["0", "-1", "many", "9" * 30])
def test_a_threshold_that_is_no_number(monkeypatch, tmp_path, text):
    monkeypatch.setenv("RESCALE_BENCH_SEGMENT_LINES", text)
    with pytest.raises(UsageError, match="RESCALE_BENCH_SEGMENT_LINES"):
        Store(tmp_path)

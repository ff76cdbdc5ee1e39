import json
import math
import os

import pandas as pd
import pytest

from rescale_bench.errors import StoreError
from rescale_bench.runs.folder import read_table
from rescale_bench.runs.schema import NAMES, SCHEMA
from rescale_bench.runs.store import Store

ABOUT = {"psnr_y": {"direction": "up", "unit": "dB", "decimals": 3, "pool": "mean", "repeatable": True}}


def line(cell, status="ok", value=30.0, metric="psnr_y", scale="2"):
    entry = {"status": "ok" if status == "ok" else "failed", "version": "1", "value": value if status == "ok" else None}
    identity = dict.fromkeys(("options", "weights", "weights_sha256", "tile"), "")
    return {
        "schema": SCHEMA, "cell": cell, "method": "bicubic", "dataset": "d", "image": cell, "image_sha256": "a",
        "scale": scale, "codec": "png", "protocol": "rgb8", "protocol_version": 1, "seed": 0, "dtype": "float32",
        "native": True, "status": status, "error": "", "seconds": 0.1, "peak_mb": 1.0, "height": 4, "width": 4,
        "lr_height": 2, "lr_width": 2, "values": {metric: entry}, **identity,
    }  # fmt: skip


def test_what_is_written_comes_back_in_a_fixed_order(tmp_path):
    with Store(tmp_path) as store:
        store.write_about({"metrics": ABOUT})
        for cell, scale, value in (("b", "10", 31.5), ("a", "2", math.inf), ("b2", "9", 30.0)):
            store.append(line(cell, value=value, scale=scale) | {"image": "same"})
        store.write_table()
    table = pd.read_parquet(tmp_path / "results.parquet")
    assert list(table.columns) == list(NAMES)
    assert list(table["scale"]) == ["2", "9", "10"]
    assert math.isinf(table["value"][0])
    pd.testing.assert_frame_equal(table, read_table(tmp_path))
    assert "Infinity" not in (tmp_path / "journal.jsonl").read_text()


def test_a_half_written_last_line_is_repaired_and_said(tmp_path):
    with Store(tmp_path) as store:
        store.append(line("a"))
        store.append(line("b"))
    journal = tmp_path / "journal.jsonl"
    content = journal.read_bytes()
    for cut in range(len(content) // 2 + 1, len(content), 29):
        journal.write_bytes(content[:cut])
        assert list(read_table(tmp_path)["image"]) == ["a"]
    with Store(tmp_path) as store:
        assert list(store.lines()) == ["a"]
        assert "half-written" in store.notes[0]
        store.append(line("b"))
    assert journal.read_bytes() == content


def test_damage_in_the_middle_names_the_line(tmp_path):
    with Store(tmp_path) as store:
        for cell in "abc":
            store.append(line(cell))
    journal = tmp_path / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text(lines[0] + "{broken\n" + lines[2])
    with pytest.raises(StoreError, match=r"journal\.jsonl, line 2 is damaged"):
        Store(tmp_path)
    journal.write_text(lines[0] + lines[2])
    with Store(tmp_path) as store:
        assert list(store.lines()) == ["a", "c"]


def test_two_runs_do_not_share_a_folder(tmp_path):
    with Store(tmp_path), pytest.raises(StoreError, match=f"another run \\(process {os.getpid()}\\)"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_metrics_of_one_cell_add_up_and_failures_do_not_wipe(tmp_path):
    with Store(tmp_path) as store:
        store.append(line("a", status="failed"))
        store.append(line("a", value=30.0))
        store.append(line("a", value=0.9, metric="ssim_y"))
        store.append(line("a", status="failed"))
        assert {name: entry["value"] for name, entry in store.lines()["a"]["values"].items()} == {
            "psnr_y": 30.0,
            "ssim_y": 0.9,
        }
    with Store(tmp_path) as store:
        assert store.lines()["a"]["status"] == "ok"


def test_a_folder_without_a_run_and_a_foreign_file_are_named(tmp_path):
    with pytest.raises(StoreError, match="holds no run"):
        read_table(tmp_path)
    with pytest.raises(StoreError, match="there is no run at"):
        read_table(tmp_path / "none.parquet")
    (tmp_path / "x.parquet").write_text("text")
    with pytest.raises(StoreError, match="cannot read"):
        read_table(tmp_path / "x.parquet")
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(StoreError, match="lacks the columns"):
        read_table(tmp_path / "x.csv")


def test_a_newer_schema_is_refused(tmp_path):
    (tmp_path / "journal.jsonl").write_text(json.dumps(line("a") | {"schema": SCHEMA + 1}) + "\n")
    with pytest.raises(StoreError, match="has schema"):
        Store(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to the output folder .*choose another -o"):
        Store(tmp_path / "file" / "run")

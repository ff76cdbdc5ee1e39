"""Columns of rows, and what earlier versions wrote. schema1/ was made by version 0.1.0, before batch was a column."""

import dataclasses
import shutil
from pathlib import Path

import pandas as pd
import pytest
import toys

from rescale_bench.api.registry import load_registry
from rescale_bench.checks import check, compare_runs
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table
from rescale_bench.runs.schema import COLUMNS, LABEL, NAMES, cell_key, row_label, split_dtype
from rescale_bench.runs.table import complete

HERE = Path(__file__).parent / "schema1"
BOXES = (
    toys.HEADER
    + """
from rescale_bench.api.records import Traits
class Boxes:
    parameter_count = 0
    def downscale(self, hr, scale): return F.avg_pool2d(hr, 2)
    def upscale(self, lr, scale, size): return F.interpolate(lr, size=size)
@hookimpl
def rescale_bench_methods():
    yield Method(name="boxes", summary="s", citation="c", scales=NativeScales.of(2),
                 traits=Traits(batches=True, compiles=True), build=lambda states, device, options: Boxes())
"""
)
WAYS = {("float32", 1, False), ("float32", 2, False), ("bf16", 2, True)}


def ways(rows):
    return set(zip(rows["dtype"], rows["batch"].astype(int), rows["compiled"].astype(bool), strict=True))


@pytest.mark.parametrize("name", ["run", "rows.csv"])
def test_rows_of_schema_1_are_read(name):
    rows = read_table(HERE / name)
    assert list(rows.columns[:3]) == ["schema", "cell", "method"]
    assert set(NAMES) == set(rows.columns)
    assert len(rows) == 16
    assert ways(rows) == WAYS
    assert set(rows["dataset"]) == {"007"}
    assert set(rows["image"]) == {"p0", "p1"}


def test_a_folder_and_its_export_are_one_to_check_and_compare():
    folder, export = read_table(HERE / "run"), read_table(HERE / "rows.csv")
    result = check(folder, export)
    assert (result.exit_status, len(result.comparisons)) == (0, 16)
    assert compare_runs(folder, export).exit_status == 0


def test_cells_of_schema_1_are_not_measured_again(tmp_path):
    shutil.copytree(HERE / "run", tmp_path / "run")
    request = Request(
        methods="bicubic,boxes", datasets=str(HERE / "007"), scales="2", metrics="psnr_y,bpp_png",
        output=tmp_path / "run", plugins=(toys.plugin_file(tmp_path, BOXES),),
    )  # fmt: skip
    before = read_table(tmp_path / "run")
    for asked in (request, dataclasses.replace(request, batch=2)):
        outcome = execute(asked, load_registry(asked.plugins), ["test"])
        assert (outcome.measured, outcome.cached, outcome.exit_code) == (0, 4, 0)
    other = dataclasses.replace(request, dtype="bf16", methods="bicubic")
    assert execute(other, load_registry(), ["test"]).measured == 2
    after = read_table(tmp_path / "run")
    old = after[after["cell"].isin(before["cell"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(old.drop(columns="title"), before.drop(columns="title"))  # which run.json now has


def test_keys_are_those_of_schema_1():
    for row in read_table(HERE / "run").to_dict("records"):
        assert cell_key(row, {"method": "1", "codec": "1"}) == row["cell"]


def test_a_later_column_leaves_the_keys_of_earlier_cells():
    later = [column for column in COLUMNS if column.since > 1 and column.role == "key"]
    assert {column.name for column in later} >= {"batch", "compiled"}
    row = dict.fromkeys((column.name for column in COLUMNS if column.type == "text"), "x") | {"protocol_version": 1}
    bare = {name: value for name, value in row.items() if name not in {column.name for column in later}}
    assert cell_key(bare, {}) == cell_key({**bare, **{column.name: column.default for column in later}}, {})


def test_dtype_of_schema_1_in_tables_made_by_hand():
    dtypes = ["float32", "bf16-batch8-compiled", "float32-compiled"]
    frame = pd.DataFrame({"metric": "psnr_y", "dtype": dtypes, "batch": [4, 1, 1]})
    done = complete(frame)
    assert list(done["dtype"]) == ["float32", "bf16", "float32"]
    assert list(done["batch"]) == [4, 8, 1]
    assert list(done["compiled"]) == [False, True, True]
    assert split_dtype("bf16") == {"dtype": "bf16", "batch": 1, "compiled": False}


def test_labels_say_how_a_method_ran_where_that_is_not_as_usual():
    def label(**values):
        usual = {column.name: column.default for column in COLUMNS} | {"method": "irn"}
        return row_label([{**usual, **values}[name] for name in LABEL])

    assert label(weights="small") == "irn [small]"
    assert label(options="z=zero", tile="64", dtype="bf16", batch=8.0, compiled="True") == (
        "irn:z=zero {tile 64, bf16, batch 8, compiled}"
    )

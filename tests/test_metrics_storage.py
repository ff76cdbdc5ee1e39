import numpy as np
import pytest
import toys
from lr_images import sample_of

from rescale_bench.api.registry import load_registry
from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics.storage import rescale_bench_metrics
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table
from rescale_bench.tables import leaderboard

(STORAGE,) = rescale_bench_metrics()
LR = np.zeros((4, 6, 3), np.uint8)


def test_megabytes_of_the_file():
    assert STORAGE.measure(sample_of(LR, file=b"x" * 2500), {}) == 0.0025
    with pytest.raises(UndefinedValueError, match="no file"):
        STORAGE.measure(sample_of(LR, file=None, lr_sent=None), {})


def test_a_run_shows_what_its_files_take_together(tmp_path):
    folder = toys.picture_folder(tmp_path / "set", count=3)
    asked = Request(methods="bicubic", datasets=str(folder), scales="2", threads=1, metrics="storage_mb,bpp",
                    output=tmp_path / "run")  # fmt: skip
    assert execute(asked, load_registry(), ["test"]).exit_code == 0
    rows = read_table(tmp_path / "run")
    bits = rows[rows["metric"] == "bpp"]
    total = (bits["value"] * bits["height"] * bits["width"]).sum() / 8e6
    (score,) = (score for score in leaderboard(rows).scores if score.metric == "storage_mb")
    assert score.mean == pytest.approx(total, rel=1e-12)

"""SIGKILL at random moments, also while cells are sealed: the same command, run again, ends undisturbed."""

import multiprocessing
import os
import random
import re
import signal
import sys
import time

import pandas as pd
import pytest
import toys
from pyarrow import parquet

from rescale_bench.cli import main

CLOCKS = ["seconds", "peak_mb"]
KILLS = 10
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torch", "pandas", "rescale_bench.runner.execute", "rescale_bench.tables"])
"""Every process is forked from one that has imported torch: what is killed are cells, not imports."""


def start(folder, images, *more):
    arguments = ["run", "-m", "nearest,bicubic,lanczos3", "-s", "1.3,2,3", "--metrics", "psnr_y,ssim_y,bpp_png",
                 "-d", str(images), "-o", str(folder), "--threads", "1", "-q", *more]  # fmt: skip
    process = FORKS.Process(target=command, args=(arguments, {**os.environ, "RESCALE_BENCH_SEGMENT_LINES": "7"}))
    process.start()
    return process


def command(arguments, environment):
    """Be the command line."""
    os.environ.update(environment)
    with open(os.devnull, "w") as nothing:
        sys.stdout = sys.stderr = nothing
        sys.exit(main(arguments))


def code_of(process):
    process.join()
    return process.exitcode


def lines(folder):
    """Count the cells of a journal and its segments; while cells are sealed they stand in both."""
    journal = folder / "journal.jsonl"
    cells = set(re.findall(r'"cell":"(\w+)"', journal.read_text())) if journal.exists() else set()
    for path in (folder / "segments").glob("[!.]*.parquet"):
        cells.update(parquet.read_table(path, columns=["cell"])["cell"].to_pylist())
    return len(cells)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return toys.picture_folder(tmp_path_factory.mktemp("set") / "toys", count=6, size=(160, 200))


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert code_of(start(folder, images)) == 0
    return pd.read_parquet(folder / "results.parquet").drop(columns=CLOCKS)


def test_ten_kills_lose_nothing(images, undisturbed, tmp_path):
    rng = random.Random(11)
    cells = undisturbed["cell"].nunique()
    killed = 0
    for kill in range(KILLS):
        process = start(tmp_path, images)
        # Wait for this run's first cells, then for a random part of a cell. The last third of the cells is left, so
        # that no run is over before a busy machine comes to the kill.
        goal = (kill + 1) * cells * 2 // (KILLS * 3)
        while process.is_alive() and lines(tmp_path) < goal:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.03)
        process.kill()
        killed += code_of(process) == -signal.SIGKILL
        assert lines(tmp_path) >= goal
    assert killed >= KILLS - 2
    assert code_of(start(tmp_path, images)) == 0
    result = pd.read_parquet(tmp_path / "results.parquet").drop(columns=CLOCKS)
    pd.testing.assert_frame_equal(result, undisturbed, check_exact=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_is_asked_for_keeps_its_cells_and_exits_130(images, undisturbed, tmp_path, number):
    process = start(tmp_path, images)
    while process.is_alive() and lines(tmp_path) < 5:
        time.sleep(0.002)
    os.kill(process.pid, number)
    assert code_of(process) == 130
    rows = pd.read_parquet(tmp_path / "results.parquet")
    assert rows["cell"].nunique() >= 5
    assert set(rows["status"]) == {"ok"}


def test_two_workers_killed_and_resumed(images, undisturbed, tmp_path):
    process = start(tmp_path, images, "-j", "2")
    while process.is_alive() and lines(tmp_path) < 10:
        time.sleep(0.002)
    process.kill()
    process.join()
    assert code_of(start(tmp_path, images, "-j", "2")) == 0
    result = pd.read_parquet(tmp_path / "results.parquet").drop(columns=CLOCKS)
    pd.testing.assert_frame_equal(result, undisturbed, check_exact=True)

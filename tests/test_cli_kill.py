"""SIGKILL at random moments, also while cells are sealed: the same command, run again, ends undisturbed."""

import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import toys
from pyarrow import parquet

CLOCKS = ["seconds", "peak_mb"]
KILLS = 10


def start(folder, images, *more):
    command = [sys.executable, "-m", "rescale_bench", "run", "-m", "nearest,bicubic,lanczos3", "-s", "1.3,2,3",
               "--metrics", "psnr_y,ssim_y,bpp_png", "-d", str(images), "-o", str(folder),
               "--threads", "1", "-q", *more]  # fmt: skip
    return subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "RESCALE_BENCH_SEGMENT_LINES": "7"},
    )


def lines(folder):
    journal = folder / "journal.jsonl"
    sealed = sum(parquet.read_metadata(path).num_rows for path in (folder / "segments").glob("[!.]*.parquet"))
    return sealed + (journal.read_bytes().count(b'"cell"') if journal.exists() else 0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return toys.picture_folder(tmp_path_factory.mktemp("set") / "toys", count=6, size=(160, 200))


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder, images).wait() == 0
    return pd.read_parquet(folder / "results.parquet").drop(columns=CLOCKS)


def test_ten_kills_lose_nothing(images, undisturbed, tmp_path):
    rng = random.Random(11)
    cells = undisturbed["cell"].nunique()
    killed = 0
    for kill in range(KILLS):
        process = start(tmp_path, images)
        # Wait for this run's first cells, then for a random part of a cell.
        goal = min(cells - 2, (kill + 1) * cells // (KILLS + 1))
        while process.poll() is None and lines(tmp_path) < goal:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.03)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        assert lines(tmp_path) >= goal
    assert killed >= KILLS - 2
    last = start(tmp_path, images)
    assert last.wait() == 0
    result = pd.read_parquet(tmp_path / "results.parquet").drop(columns=CLOCKS)
    pd.testing.assert_frame_equal(result, undisturbed, check_exact=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_is_asked_for_keeps_its_cells_and_exits_130(images, undisturbed, tmp_path, number):
    process = start(tmp_path, images)
    while process.poll() is None and lines(tmp_path) < 5:
        time.sleep(0.002)
    process.send_signal(number)
    assert process.wait() == 130
    rows = pd.read_parquet(tmp_path / "results.parquet")
    assert rows["cell"].nunique() >= 5
    assert set(rows["status"]) == {"ok"}


def test_two_workers_killed_and_resumed(images, undisturbed, tmp_path):
    process = start(tmp_path, images, "-j", "2")
    while process.poll() is None and lines(tmp_path) < 10:
        time.sleep(0.002)
    process.kill()
    process.wait()
    last = start(tmp_path, images, "-j", "2")
    assert last.wait() == 0
    result = pd.read_parquet(tmp_path / "results.parquet").drop(columns=CLOCKS)
    pd.testing.assert_frame_equal(result, undisturbed, check_exact=True)

"""How many cells a second one starting process can hand out to Dask workers: bicubic on images of 64×64.

    python benchmarks/cluster.py [--images 40] [--rival PYTHON]

A scheduler and one worker run on this machine. What counts is the processor time that the process of `run` and the
scheduler spend on a cell, beyond what a run of few cells spends: with workers enough, the slower of the two is the
limit. --rival: the python of another installation, measured in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

SIDE, SCALES, FEW = 64, 30, 2
"""Pixels; scales of an image; images of the small run."""
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextmanager
def scheduler(python: str, folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Start a scheduler and a worker; gives the address and the scheduler's process."""
    about = folder / "scheduler.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    first = [python, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
             "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(about)]  # fmt: skip
    second = [python, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(about), "--nworkers", "1",
              "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]  # fmt: skip
    processes = [subprocess.Popen(command, env=environment, cwd=folder, **QUIET) for command in (first, second)]
    try:
        while not about.exists():
            time.sleep(0.1)
        yield json.loads(about.read_text())["address"], psutil.Process(processes[0].pid)
    finally:
        for process in processes[::-1]:
            process.terminate()
            process.wait()


def images(folder: Path, count: int) -> str:
    """Write images; returns their folder."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / f"{index:04}.png")
    return str(folder)


def run(python: str, address: str, datasets: str, output: Path) -> tuple[float, float]:
    """Measure all cells of a folder; returns seconds, and those of the processor in the starting process."""
    command = [python, "-m", "rescale_bench", "run", "-m", "bicubic", "-d", datasets, "-s", "1.1:4.0", "-q",
               "--metrics", "psnr_y", "--backend", "dask", "--scheduler", address, "-o", str(output)]  # fmt: skip
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=output.parent, **QUIET)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--rival", action="append", default=[])
    known = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        few, many = (images(Path(scratch, name), count) for name, count in (("few", FEW), ("many", known.images)))
        cells = (known.images - FEW) * SCALES
        for number, python in enumerate((*known.rival, sys.executable)):
            folder = Path(scratch, str(number))
            folder.mkdir()
            with scheduler(python, folder) as (address, process):
                _, less = run(python, address, few, folder / "few")
                before = sum(process.cpu_times()[:2])
                spent, more = run(python, address, many, folder / "many")
                there = sum(process.cpu_times()[:2]) - before
            own = more - less
            print(
                f"{cells + FEW * SCALES} cells in {spent:.1f} s; of the processor a cell: starting process "
                f"{1000 * own / cells:.2f} ms ({cells / own:.0f} cells a second), scheduler "
                f"{1000 * there / cells:.2f} ms ({cells / there:.0f} cells a second)   {python}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Dask: a real scheduler and workers in processes of their own, one of them killed in the middle of a cell."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import toys

from rescale_bench.cli import main
from rescale_bench.errors import UsageError
from rescale_bench.runner.cells import Cell
from rescale_bench.runner.job import Setup
from rescale_bench.runner.request import Request

pytest.importorskip("distributed")

WORKERS = 3
PATIENCE = 600
"""Seconds for what takes a few on an idle machine: imports of torch in five processes."""

# `waits` holds every worker in a cell until the file "go" is there; `dies` kills the process it runs in.
PLUGIN = (
    toys.HEADER
    + """
import os, signal, time
from pathlib import Path
GATE = Path(os.environ["GATE"])

class Waits:
    def downscale(self, hr, scale): return F.avg_pool2d(hr, 2)
    def upscale(self, lr, scale, size):
        (GATE / f"held-{os.getpid()}").touch()
        while not (GATE / "go").exists(): time.sleep(0.01)
        return F.interpolate(lr, size=size) + 0.1 * torch.randn(1, 3, *size)
class Dies(Waits):
    def upscale(self, lr, scale, size): os.kill(os.getpid(), signal.SIGKILL)

@hookimpl
def rescale_bench_methods():
    for kind in (Waits, Dies):
        yield Method(name=kind.__name__.lower(), summary="toy", citation="none", scales=NativeScales.of(2),
                     build=lambda states, device, options, kind=kind: kind(), traits=Traits(draws=True))
"""
)


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"no {what} within {PATIENCE} s"
        time.sleep(0.02)


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler and workers, each with a cache and a working folder of its own."""
    about = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "GATE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    # A cell that ends a second worker is given up.
    limits = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
               "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(about)]  # fmt: skip
    processes = [subprocess.Popen(command, env={**environment, **limits}, **quiet)]
    try:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(about), "--nworkers",
                   "1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory"]  # fmt: skip
        for number in range(WORKERS):
            folder = tmp_path / f"worker{number}"
            folder.mkdir()
            own = {**environment, "RESCALE_BENCH_CACHE": str(folder / "cache"), "RESCALE_BENCH_HOME": str(folder)}
            processes.append(subprocess.Popen([*command, str(folder)], env=own, cwd=folder, **quiet))
        wait_for(about.exists, "scheduler")
        yield json.loads(about.read_text())["address"], {process.pid: process for process in processes[1:]}
    finally:
        for process in processes:
            process.kill()
            process.wait()


def arguments(images, plugin, folder, methods, *more):
    return ["run", "-m", methods, "-d", str(images), "-s", "2", "--metrics", "psnr_y,ssim_y,bpp_png", "--threads", "1",
            "-q", "-o", str(folder), "--plugin", plugin, *more]  # fmt: skip


def test_a_lost_worker_changes_no_number(cluster, tmp_path, monkeypatch):
    address, workers = cluster
    monkeypatch.setenv("GATE", str(tmp_path))
    images = toys.picture_folder(tmp_path / "toys", count=5)
    plugin = toys.plugin_file(tmp_path, PLUGIN)
    far, near = tmp_path / "far", tmp_path / "near"

    def start(methods, folder, *more):
        given = arguments(images, plugin, folder, methods, "--backend", "dask", "--scheduler", address, *more)
        return subprocess.Popen([sys.executable, "-m", "rescale_bench", *given], stderr=subprocess.PIPE, text=True)

    run = start("waits,irn", far)
    wait_for(lambda: len(list(tmp_path.glob("held-*"))) == WORKERS, "worker in a cell")
    lost = workers.pop(int(next(tmp_path.glob("held-*")).name.removeprefix("held-")))
    lost.send_signal(signal.SIGKILL)
    lost.wait()
    (tmp_path / "go").touch()
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said

    assert main(arguments(images, plugin, near, "waits,irn")) == 0
    tables = [
        pd.read_parquet(folder / "results.parquet").drop(columns=["seconds", "peak_mb"]) for folder in (far, near)
    ]
    assert tables[0]["cell"].nunique() == 10
    assert set(tables[0]["status"]) == {"ok"}
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert main(["compare", str(far), str(near), "--fail-if-different"]) == 0

    # A cell that ends every worker that tries it fails alone.
    run = start("dies", tmp_path / "dead", "--limit", "1")
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1, said
    failed = pd.read_parquet(tmp_path / "dead" / "results.parquet")
    assert set(failed["status"]) == {"failed"}
    assert failed["error"].str.startswith("it ended every worker that tried it").all()
    assert all(process.wait(PATIENCE) == -signal.SIGKILL for process in workers.values())


def test_nobody_at_the_address_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("rescale_bench.runner.cluster.CONNECT_SECONDS", 0.5)
    images = toys.picture_folder(tmp_path / "toys", count=1)
    nobody = ["--backend", "dask", "--scheduler", "tcp://127.0.0.1:9"]
    given = ["run", "-m", "bicubic", "-d", str(images), "-s", "2", "--metrics", "psnr_y", "-o", str(tmp_path / "run")]
    assert main([*given, *nobody]) == 2
    assert "--scheduler: nothing answers at tcp://127.0.0.1:9" in capsys.readouterr().err


def test_backend_and_scheduler_belong_together():
    for given in ({"backend": "dask"}, {"scheduler": "tcp://127.0.0.1:8786"}):
        with pytest.raises(UsageError, match="belong together"):
            Request(**given)
    with pytest.raises(UsageError, match="leaves no images"):
        Request(backend="dask", scheduler="tcp://127.0.0.1:8786", keep=True)


def test_workers_that_see_other_files_or_packages_are_refused(tmp_path):
    from rescale_bench.runner.cluster import Seat, versions

    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"weights")
    setup = Setup((), {"psnr_y": "1"}, "cpu", 1)
    right = {str(path): hashlib.sha256(b"weights").hexdigest()}
    assert Seat(setup, versions(), right).refusal() == ""
    assert "has torch" in Seat(setup, {**versions(), "torch": "1.0"}, right).refusal()
    path.write_bytes(b"others")
    assert f"has another {path}" in Seat(setup, versions(), right).refusal()
    path.unlink()
    seat = Seat(setup, versions(), right)
    assert f"does not see {path}" in seat.refusal()
    seat.setup(None)
    cell = Cell("k", "bicubic", "", "", "", (), "toys", "p", "p.png", "", 1, "2", "png", "rgb8", 1, 0)
    (line,) = seat.run((cell,))
    assert (line["cell"], line["status"]) == ("k", "failed")
    assert f"this worker does not see {path}" in line["error"]

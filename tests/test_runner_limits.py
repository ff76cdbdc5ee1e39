"""Time and memory limits: a cell that hangs, grows or dies fails alone."""

import pandas as pd
import pytest
import toys

from rescale_bench.cli import main
from rescale_bench.errors import UsageError
from rescale_bench.machine.memory import free_bytes, parse_bytes, resident_bytes
from rescale_bench.runner.request import Request

BAD = (
    toys.HEADER
    + """
import os, signal, sys, time
def shrink(hr, s): return F.interpolate(hr, size=tuple(-(-side // int(s)) for side in hr.shape[-2:]))
class Base:
    def downscale(self, hr, scale): return shrink(hr, scale)
    def upscale(self, lr, scale, size): return F.interpolate(lr, size=size)
class Hangs(Base):
    def upscale(self, lr, scale, size):
        while True: time.sleep(1)
class Eats(Base):
    def upscale(self, lr, scale, size):
        kept = []
        while True: kept.append(torch.ones(2_000_000))
class Dies(Base):
    def upscale(self, lr, scale, size): os.kill(os.getpid(), signal.SIGSEGV)
class Prints(Base):
    def upscale(self, lr, scale, size):
        os.write(1, b"noise on stdout\\n")
        return super().upscale(lr, scale, size)
class Raises(Base):
    def upscale(self, lr, scale, size): raise ValueError("no idea")

@hookimpl
def rescale_bench_methods():
    for kind in (Hangs, Eats, Dies, Prints, Raises):
        yield Method(name=kind.__name__.lower(), summary="toy", citation="none", scales=NativeScales.of(2),
                     build=lambda states, device, options, kind=kind: kind())
"""
)


@pytest.fixture
def run(tmp_path):
    images = toys.picture_folder(tmp_path / "toys", count=2)
    plugin = toys.plugin_file(tmp_path, BAD)

    def call(methods, *more):
        code = main(["run", "-m", methods, "-d", str(images), "-s", "2", "--metrics", "psnr_y", "--threads", "1",
                     "-o", str(tmp_path / "run"), "--plugin", plugin, *more])  # fmt: skip
        return code, pd.read_parquet(tmp_path / "run" / "results.parquet").set_index(["method", "image"])

    return call


def test_hanging_and_dying_cells_fail_alone(run, capfd):
    code, rows = run("dies,hangs,prints", "--timeout", "6")
    assert code == 1
    assert set(rows.loc["prints", "status"]) == {"ok"}
    assert set(rows.loc["hangs", "error"]) == {"timed out after 6 s; allow it more"}
    assert set(rows.loc["dies", "error"]) == {"its process was ended by SIGSEGV"}
    assert "timed out after 6 s" in capfd.readouterr().err


@pytest.mark.skipif(resident_bytes() is None, reason="the platform does not tell what a process holds")
def test_a_greedy_cell_fails_with_any_number_of_workers(run):
    code, rows = run("eats,prints", "--memory-limit", "1.5GB", "-j", "2")
    assert code == 1
    assert set(rows.loc["prints", "status"]) == {"ok"}
    assert set(rows.loc["eats", "error"]) == {"its process held more than 1.5 GB; allow it more, or try tile=auto"}


def test_verbose_shows_where_a_cell_failed(run, capfd):
    code, rows = run("raises", "-v")
    assert code == 1
    assert "trace" not in rows.columns
    said = capfd.readouterr().err
    assert "ValueError: no idea" in said
    assert "in upscale" in said
    assert "Traceback" not in (run("raises"), capfd.readouterr().err)[1]


def test_amounts_of_memory():
    assert [parse_bytes(text, "--x") for text in ("", "4GB", "1.5 MiB", "700")] == [0, 4 * 10**9, 3 * 2**19, 700]
    for text in ("4 cats", "GB", "-1GB", "0GB"):
        with pytest.raises(UsageError, match="no amount of memory"):
            Request(memory_limit=text)
    free = free_bytes()
    assert free is None or free > 0
    if resident_bytes() is not None:
        assert free_bytes(limit=resident_bytes() + 10**6) <= 10**7
        assert free_bytes(share=2) == pytest.approx(free / 2, rel=0.2)

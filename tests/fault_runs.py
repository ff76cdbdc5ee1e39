"""Runs that go wrong on purpose: a plugin that misbehaves when told to, and the undisturbed run to compare with."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import toys

from rescale_bench.cli import main
from rescale_bench.runs.folder import read_table

CLOCKS = ["seconds", "peak_mb"]
METRICS = "psnr_y,ssim_y,bpp_png"

# TOY_FAULT names the methods that misbehave; without it all of them do the same, so that a fault can be healed.
# TOY_DELAY makes every cell last that many seconds, TOY_GATE as long as there is such a file; TOY_IMAGES is the folder
# that `meddles` meddles with.
PLUGIN = (
    toys.HEADER
    + """
import os, signal, sys, time
from pathlib import Path

def shrink(hr, s): return F.interpolate(hr, size=tuple(-(-side // int(s)) for side in hr.shape[-2:]), mode="area")

class Steady:
    def downscale(self, hr, scale):
        time.sleep(float(os.environ.get("TOY_DELAY", 0)))
        while os.path.exists(os.environ.get("TOY_GATE", "")): time.sleep(0.01)
        return shrink(hr, scale)
    def upscale(self, lr, scale, size):
        image = F.interpolate(lr, size=size, mode="bilinear")
        name = type(self).__name__.lower()
        return self.wrong(image, lr) if name in os.environ.get("TOY_FAULT", "").split(",") else image
class Raises(Steady):
    def wrong(self, image, lr): raise ValueError("no idea")
class Quits(Steady):
    def wrong(self, image, lr): sys.exit(0)
class Nan(Steady):
    def wrong(self, image, lr): return image / 0 * 0
class Small(Steady):
    def wrong(self, image, lr): return lr
class Bytes(Steady):
    def wrong(self, image, lr): return (image * 255).to(torch.uint8)
class Hangs(Steady):
    def wrong(self, image, lr):
        while True: time.sleep(0.05)
class Eats(Steady):
    def wrong(self, image, lr):
        kept = []
        while True: kept.append(torch.ones(4_000_000))
class Exits(Steady):
    def wrong(self, image, lr): os._exit(7)
class Crashes(Steady):
    def wrong(self, image, lr): os.kill(os.getpid(), signal.SIGSEGV)
class Meddles(Steady):
    def wrong(self, image, lr):
        folder = Path(os.environ["TOY_IMAGES"])
        if (folder / "p2.png").exists():
            (folder / "p2.png").unlink()
            (folder / "p1.png").write_bytes((folder / "p0.png").read_bytes())
        return image

@hookimpl
def rescale_bench_methods():
    for kind in (Steady, Raises, Quits, Nan, Small, Bytes, Hangs, Eats, Exits, Crashes, Meddles):
        yield Method(name=kind.__name__.lower(), summary="toy", citation="none", scales=NativeScales.of(2, 3),
                     build=lambda states, device, options, kind=kind: kind())
"""
)
METHODS = "steady,raises,quits,nan,small,bytes,hangs,eats,exits,crashes,meddles,bicubic"


@dataclass(frozen=True)
class World:
    """What the runs share: pictures (p0 to p3), the plugin, and the rows of an undisturbed run of every cell."""

    images: Path
    plugin: str
    rows: pd.DataFrame

    def arguments(self, folder, *more, images=None):
        """Give the arguments of a run; what is in more wins."""
        return ["run", "-m", "steady,bicubic", "-s", "2,3", "--metrics", METRICS, "-d", str(images or self.images),
                "-o", str(folder), "--threads", "1", "--plugin", self.plugin, *more]  # fmt: skip

    def start(self, folder, *more, env=None, images=None, prepare=lambda: None, **popen):
        """Start the command line in a process of its own. prepare: what that process does first."""

        def preexec():
            # A background job of a shell ignores Ctrl-C, and so would all that it starts.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            prepare()

        command = [sys.executable, "-m", "rescale_bench", *self.arguments(folder, *more, images=images)]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={**os.environ, **(env or {})}, preexec_fn=preexec, **pipes, **popen)  # noqa: PLW1509  # takes no lock

    def run(self, folder, *more, **settings):
        """Run to the end; returns the exit code and what was said on stderr, line by line."""
        return finish(self.start(folder, *more, **settings))

    def call(self, capfd, folder, *more, images=None):
        """Run in this process; returns the exit code and what was said on stderr, line by line."""
        capfd.readouterr()
        code = main(self.arguments(folder, *more, images=images))
        return code, capfd.readouterr().err.splitlines()

    def agrees(self, folder):
        """Check that no number of a run differs from the undisturbed run in any bit; returns its measured cells."""
        return self.agrees_rows(read_table(folder))

    def agrees_rows(self, rows):
        good = rows[rows["status"] == "ok"].drop(columns=CLOCKS).reset_index(drop=True)
        asked = good[["cell", "metric"]]
        expected = asked.merge(self.rows, on=["cell", "metric"], how="left")[list(good.columns)]
        pd.testing.assert_frame_equal(good, expected, check_exact=True, check_dtype=False)
        return set(good["cell"])

    def complete(self, folder, methods="steady,bicubic", scales="2,3", count=4):
        """Check that a run holds all its cells, as measured by the undisturbed run, in its table and its journal."""
        expected = {
            row.cell
            for row in self.rows.itertuples()
            if row.method in methods.split(",") and row.scale in scales.split(",") and int(row.image[1:]) < count
        }
        table = pd.read_parquet(Path(folder) / "results.parquet")
        assert set(table["status"]) == {"ok"}
        assert self.agrees_rows(table) == expected
        assert self.agrees(folder) == expected


@lru_cache(maxsize=1)
def _world(base):
    images = toys.picture_folder(base / "faults" / "toys", count=4, size=(64, 72))
    plugin = toys.plugin_file(base / "faults", PLUGIN)
    world = World(images, plugin, pd.DataFrame())
    code, said = world.run(base / "faults" / "reference", "-m", METHODS, "-q")
    assert (code, said) == (0, [])
    rows = pd.read_parquet(base / "faults" / "reference" / "results.parquet").drop(columns=CLOCKS)
    assert set(rows["status"]) == {"ok"}
    return World(images, plugin, rows)


def make_world(tmp_path_factory):
    """Make the world, once a test session."""
    return _world(tmp_path_factory.getbasetemp())


def finish(process):
    """Wait for a process; returns its exit code and its lines on stderr."""
    said = process.communicate(timeout=600)[1]
    assert "Traceback" not in said, said
    return process.returncode, said.strip().splitlines()


def lines(folder):
    """Count the finished lines of a journal."""
    journal = Path(folder) / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_lines(process, folder, count):
    """Wait until a run has written so many lines, or has ended."""
    while process.poll() is None and lines(folder) < count:
        time.sleep(0.002)


def processor_seconds(pid):
    """Read how much processor time a process has had; None where the platform does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

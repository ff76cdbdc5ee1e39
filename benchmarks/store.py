"""What large runs cost: seconds, peak memory and bytes of every verb that reads or resumes one.

    python benchmarks/store.py [--cells 10000,100000] [--only table,check] [--rival PYTHON]

A synthetic run is written as a journal of schema 1, which every version reads: its cells are those of a real plan (ten
methods, 30 scales, five folders of tiny images), its ten values a cell are drawn. Each verb runs in a process of its
own; seconds and memory are of the whole process. With two sizes the growth exponent is printed too.
--rival: the python of another installation, which does the same on a copy; `numbers` (the table at full precision) says
whether both print the same.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from rescale_bench.api.metrics import about
from rescale_bench.api.registry import load_registry
from rescale_bench.runner.plan import plan
from rescale_bench.runner.request import Request

METHODS = (
    "nearest,bilinear,bicubic,lanczos3,bicubic+nearest,bicubic+bilinear,bicubic+lanczos3,lanczos3+bicubic,"
    "lanczos3+bilinear,bilinear+bicubic"
)
METRICS = "psnr_y,ssim_y,psnr_rgb,ssim_rgb,psnr_lr,ssim_lr,bpp_png,seconds_down,seconds_up,params"
SETS, SCALES = 5, "1.1:4.0"
VERBS = ("seal", "open", "table", "numbers", "rank", "check", "compare", "merge", "finish", "resume", "report")


def images(folder: Path, count: int) -> str:
    """Write tiny images in SETS folders; returns them as --datasets takes them."""
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"set{index % SETS}" / f"{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    return ",".join(str(folder / f"set{index}") for index in range(SETS))


def write_run(folder: Path, request: Request) -> int:
    """Write the run that a request asks for, with drawn values, as version 0.1 wrote it; returns its cells."""
    registry = load_registry()
    grid = plan(request, registry)
    rng = np.random.default_rng(1)
    folder.mkdir()
    records = {chosen.label: chosen.record for chosen in grid.metrics}
    with (folder / "journal.jsonl").open("w", encoding="utf-8") as journal:
        for cell in grid:
            identity = {name: value for name, value in cell.identity().items() if name not in ("batch", "compiled")}
            numbers = rng.normal(30, 5, len(records))
            values = {
                name: {"status": "ok", "version": record.version, "value": number}
                for (name, record), number in zip(records.items(), numbers.tolist(), strict=True)
            }
            line = {
                "schema": 1, **identity, "status": "ok", "error": "", "peak_mb": 300.0, "height": 4, "width": 4,
                "lr_height": 2, "lr_width": 2, "tiled": 0, "values": values, "seconds": 0.01,
            }  # fmt: skip
            journal.write(json.dumps(line, separators=(",", ":")) + "\n")
    described = {name: about(record, name) for name, record in records.items()}
    content = {"schema": 1, "asked": {"datasets": request.datasets}, "history": ["made up"], "metrics": described}
    (folder / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return len(grid)


def commands(python: str, folder: Path, asked: list[str]) -> Iterator[tuple[str, list[str]]]:
    """List each verb's command; what is written goes beside the run."""
    cli = [python, "-m", "rescale_bench"]
    run, other = str(folder / "run"), str(folder / "other")
    code = (
        "import sys, pathlib\ntry:\n from rescale_bench.runs.store import Store\n"
        "except ImportError:\n from rescale_bench.store import Store\nStore(pathlib.Path(sys.argv[1])).close()"
    )
    # The first opening of a folder of an earlier version seals its journal.
    yield "seal", [python, "-c", code, run]
    yield "seal", [python, "-c", code, other]
    yield "open", [python, "-c", code, run]
    yield "table", [*cli, "table", "-i", run]
    yield "numbers", [*cli, "table", "-i", run, "--format", "csv"]
    yield "rank", [*cli, "table", "-i", run, "--rank"]
    yield "check", [*cli, "check", "-i", run, "--baseline", other]
    yield "compare", [*cli, "compare", run, other]
    yield "merge", [*cli, "merge", run, other, "--prefer", "first", "-o", str(folder / "merged")]
    # The first resume of a run without results.parquet writes it.
    yield "finish", [*cli, "run", *asked, "-o", run, "-q"]
    yield "resume", [*cli, "run", *asked, "-o", run, "-q"]
    yield "report", [*cli, "report", "-i", run, "-o", str(folder / "report.html"), "-q", "--no-direct"]


def measure(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command; return its seconds, those of the processor, and peak megabytes. Raises SystemExit on failure."""
    shutil.rmtree(folder / "merged", ignore_errors=True)
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=open('printed', 'wb'));"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss, done.returncode)"
    )
    started = time.perf_counter()
    # Elsewhere than here: `-m` would find the package of this folder.
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=False, cwd=folder
    )
    spent = time.perf_counter() - started
    cpu, peak, status = map(float, done.stdout.split())
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status:.0f}: {done.stderr[-2000:]}")
    return spent, cpu, peak / 1024


def size(folder: Path) -> int:
    """Count the bytes of a folder, its table apart."""
    return sum(path.stat().st_size for path in folder.rglob("*") if (path.is_file() and path.suffix != ".parquet")
               or (path.is_file() and path.parent.name == "segments"))  # fmt: skip


def bench(cells: int, pythons: list[str], only: list[str], scratch: Path) -> dict[tuple[str, str], float]:
    """Measure all verbs on a run of about so many cells; returns seconds of the processor by python and verb."""
    count = max(SETS, round(cells / 300))
    datasets = images(scratch / "images", count)
    request = Request(methods=METHODS, datasets=datasets, scales=SCALES, metrics=METRICS, output=scratch / "run")
    asked = ["-m", METHODS, "-d", datasets, "-s", SCALES, "--metrics", METRICS]
    real = write_run(scratch / "made", request)
    found, numbers = {}, set[bytes]()
    for python in pythons:
        for name in ("run", "other"):
            shutil.rmtree(scratch / name, ignore_errors=True)
            shutil.copytree(scratch / "made", scratch / name)
        for verb, command in commands(python, scratch, asked):
            if verb not in only:
                continue
            spent, cpu, peak = measure(command, scratch)
            found[python, verb] = cpu
            if verb == "numbers":
                numbers.add((scratch / "printed").read_bytes())
            print(f"{real:8} cells  {verb:8} {spent:8.2f} s, {cpu:7.2f} of CPU {peak:7.0f} MB   {python}", flush=True)
        print(
            f"{real:8} cells  {size(scratch / 'run') / real / 10:.0f} bytes a value on the disk   {python}", flush=True
        )
    if len(pythons) > 1 and "numbers" in only:
        print(f"{real:8} cells  numbers {'equal' if len(numbers) == 1 else 'DIFFER'}", flush=True)
    return found


def main() -> None:
    """Measure, and print how each verb grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", default="10000,100000")
    parser.add_argument("--only", default=",".join(VERBS))
    parser.add_argument("--rival", action="append", default=[])
    parser.add_argument("--scratch", default=None, help="where the runs are made (default: the system's)")
    known = parser.parse_args()
    sizes = [int(text) for text in known.cells.split(",")]
    pythons = [sys.executable, *known.rival]
    found = []
    for cells in sizes:
        with tempfile.TemporaryDirectory(dir=known.scratch) as scratch:
            found.append(bench(cells, pythons, known.only.split(","), Path(scratch)))
    for key in found[0] if len(found) > 1 else ():
        exponent = math.log(found[-1][key] / found[0][key]) / math.log(sizes[-1] / sizes[0])
        print(f"{key[1]:8} grows with exponent {exponent:.2f}   {key[0]}")


if __name__ == "__main__":
    main()

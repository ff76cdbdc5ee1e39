"""What the harness costs over bare inference, how a run grows, and what it holds in memory.

    python benchmarks/harness.py [--images 20] [--side 256] [--rounds 3] [--threads 2] [--only overhead,…]

overhead: a run with irn x2 (random weights) against a loop of the same two networks and metrics without harness.
jobs: bicubic-only runs with two worker processes against one. beside: one torch thread, with images decoded and scored
in a thread beside the halves, against the same without. batch: eight images at once against one.
allocator: large images with malloc's default settings against ours.
growth: the exponent of a run's time in images, scales and pixels. memory: megabytes per megapixel, and whether the peak
depends on the number of images or scales.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from paired import HEADER, alternate, picture, record, seconds
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.codecs import encode_decode
from rescale_bench.images.color import luma
from rescale_bench.machine import allocator as glibc
from rescale_bench.metrics.similarity import psnr, ssim_planes
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table

METRICS = "psnr_y,ssim_y,psnr_rgb,ssim_rgb,psnr_lr,ssim_lr"
"""What the bare loop computes as well."""
LINEAR = 0.05
"""How far an exponent may be from 1."""


def images(folder: Path, count: int, side: int) -> Path:
    """Write so many different square PNG files into a new folder."""
    folder.mkdir(parents=True)
    pixels = picture(side, side)[0].permute(1, 2, 0).mul(255).byte().numpy()
    for index in range(count):
        Image.fromarray(np.roll(pixels, 7 * index + 1, 1)).save(folder / f"{index:03}.png")
    return folder


def run(request: Request) -> None:
    """Measure a grid afresh. Raises SystemExit where a cell fails."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = execute(replace(request, output=Path(folder) / "run"), load_registry(()), ["benchmark"])
    if outcome.failures or not outcome.measured:
        raise SystemExit(f"the run failed: {[line['error'] for line in outcome.failures[:1]]}")


class Bare:
    """The same inference and metrics in a plain loop."""

    def __init__(self, folder: Path) -> None:
        registry = load_registry(())
        record_, png = registry.method("irn"), registry.codecs["png"]
        self.png, self.files = png, sorted(folder.glob("*.png"))
        bicubic = registry.method("bicubic")
        self.bicubic = bicubic.build({}, "cpu", registry.choose_method(parse_spec("bicubic", "-m")).options)
        options = registry.choose_method(parse_spec("irn", "-m")).options
        if record_.initial is None:
            raise SystemExit("irn offers no random weights")
        state = {"x2": record_.initial("x2", 0)}
        self.down, self.up = (record_.build(state, "cpu", options) for _ in range(2))

    @torch.inference_mode()
    def __call__(self) -> None:
        """Restore and score every image."""
        for file in self.files:
            pixels = np.asarray(Image.open(file).convert("RGB"))
            hr = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
            image = hr.float().div(255)[None]
            lr = levels(self.down.downscale(image, 2.0))
            _, decoded = encode_decode(self.png, lr.permute(1, 2, 0).contiguous().numpy(), {})
            received = torch.from_numpy(decoded.copy()).permute(2, 0, 1).float().div(255)[None]
            sr = levels(self.up.upscale(received, 2.0, (hr.shape[1], hr.shape[2])))
            reference = levels(self.bicubic.downscale(image, 2.0))
            for a, b in ((sr, hr), (lr, reference)):
                y = (luma(a), luma(b))
                psnr(*y), psnr(a, b), ssim_planes([y, *zip(a.unbind(), b.unbind(), strict=True)])


def levels(x: torch.Tensor) -> torch.Tensor:
    return x[0].clamp(0, 1).mul(255).round().to(torch.uint8)


def overhead(base: Path, given: argparse.Namespace) -> None:
    folder = images(base / "overhead", given.images, given.side)
    request = Request("irn:weights=random", str(folder), "2", metrics=METRICS, threads=given.threads)
    bare = Bare(folder)
    # Once each to warm up: imports, packed weights.
    run(request), bare()
    harness, inference, ratio = alternate(lambda: run(request), bare, given.rounds)
    case = f"harness irn x2, {given.images} images"
    record(case, harness, inference, ratio, goal=1 / 1.05, note=f"overhead {100 * (1 / ratio - 1):.1f} %")


def jobs(base: Path, given: argparse.Namespace) -> None:
    folder = images(base / "jobs", 4 * given.images, 2 * given.side)
    one = Request("bicubic", str(folder), "2,3,4", threads=1)
    two = replace(one, jobs=2)
    cold = seconds(lambda: run(two))
    both, single, ratio = alternate(lambda: run(two), lambda: run(one), max(1, given.rounds - 1))
    note = f"1 worker / 2 workers, one thread each; {cold:.2f} s with starting the workers"
    record(f"harness -j 2, bicubic, {4 * given.images} images", both, single, ratio, goal=1.6, note=note)


def beside(base: Path, given: argparse.Namespace) -> None:
    for method, side in (("irn:weights=random", given.side), ("bicubic+edsr-baseline", 2 * given.side)):
        folder = images(base / f"beside{side}", given.images // 2, side)
        request = Request(method, str(folder), "2", threads=1)

        def timed(on: bool, request: Request = request) -> Callable[[], None]:
            # So few threads get none beside by themselves.
            def call() -> None:
                with mock.patch.object(Request, "scores_beside", return_value=on):
                    run(request)

            return call

        both, single, ratio = alternate(timed(True), timed(False), given.rounds)
        name = method.partition(":")[0]
        record(f"harness beside, {name} x2, {side}", both, single, ratio, note="1 torch thread and 1 beside it / 1")


def batch(base: Path, given: argparse.Namespace) -> None:
    for side in (given.side // 4, given.side):
        folder = images(base / f"batch{side}", given.images, side)
        request = Request("irn:weights=random,z=zero", str(folder), "2", metrics=METRICS, threads=given.threads)
        together = replace(request, batch=8)
        run(request), run(together)
        eight, single, ratio = alternate(lambda r=together: run(r), lambda r=request: run(r), given.rounds)
        record(f"harness --batch 8, irn x2, {side}", eight, single, ratio, note="8 images at once / 1")


def growth(base: Path, given: argparse.Namespace) -> None:
    # Large enough that what a run costs once (planning, the table) does not bend the line.
    counts = [factor * given.images for factor in (2, 4, 8, 16)]
    folder = {count: images(base / f"images{count}", count, given.side) for count in counts}
    grids: dict[str, dict[int, Request]] = {
        "images": {count: Request("bicubic", str(path), "2") for count, path in folder.items()},
        "scales": {
            count: Request("bicubic", str(folder[counts[0]]), f"2:{Decimal(2) + Decimal(count - 1) / 10}")
            for count in (4, 8, 16, 32)
        },
        "pixels": {
            side**2: Request("bicubic", str(images(base / f"side{side}", 10, side)), "2")
            for side in (2 * given.side, 4 * given.side, 8 * given.side)
        },
    }
    for name, requests in grids.items():
        exponent, spent = fitted(
            {count: replace(each, threads=given.threads) for count, each in requests.items()}, given.rounds
        )
        closeness = 1 - abs(exponent - 1)
        note = f"exponent {exponent:.3f} from {min(requests)} to {max(requests)}; ratio is 1 − |exponent − 1|"
        record(f"harness growth with {name}", spent[-1], spent[0], closeness, "s", 1 - LINEAR, note=note)


def fitted(requests: dict[int, Request], rounds: int) -> tuple[float, list[float]]:
    """Fit time = a · size^exponent by least squares on logarithms; also the median seconds by size."""
    run(next(iter(requests.values())))
    rows = [[seconds(lambda request=request: run(request)) for request in requests.values()] for _ in range(rounds)]
    spent = [statistics.median(column) for column in zip(*rows, strict=True)]
    exponent = np.polyfit([math.log(size) for size in requests], [math.log(value) for value in spent], 1)[0]
    return float(exponent), spent


def allocator(base: Path, given: argparse.Namespace) -> None:
    folder = images(base / "allocator", 1, 4 * given.side)
    for method in ("irn", "fgrn"):

        def halves(settings: str, method: str = method) -> float:
            request = (method, str(folder), str(given.threads), settings)
            command = [sys.executable, __file__, "--halves", *request]
            return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        pairs = [(halves("default"), halves("ours")) for _ in range(given.rounds)]
        default, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        record(f"harness allocator, {method} x2", ours, default, ratio, note=f"both halves, {4 * given.side}²")


def print_halves(method: str, folder: str, threads: str, settings: str) -> None:
    """Print the seconds that the halves of a method (shipped weights, x2) need for an image, the second time."""
    if settings == "default":
        glibc._glibc = lambda: None  # type: ignore[assignment]
    request = Request(method, folder, "2", metrics="seconds_down,seconds_up", threads=int(threads))
    with tempfile.TemporaryDirectory() as output:
        for seed in (1, 2):
            asked = replace(request, seed=seed, output=Path(output) / str(seed))
            outcome = execute(asked, load_registry(()), ["benchmark"])
        table = read_table(outcome.folder)
    print(table["value"].sum())


def memory(base: Path, given: argparse.Namespace) -> None:
    def peak(name: str, count: int, side: int, scales: str) -> float:
        folder = base / name
        request = (str(folder if folder.exists() else images(folder, count, side)), scales, str(given.threads))
        done = subprocess.run(
            [sys.executable, __file__, "--peak", *request], check=True, capture_output=True, text=True
        )
        return float(json.loads(done.stdout))

    side = given.side
    small, large = (peak(f"memory{size}", 2, size, "2") for size in (side, 4 * side))
    slope = (large - small) / (15 * side**2 / 1e6)
    note = f"irn x2, {slope:.0f} MB per megapixel of HR"
    record("harness memory", large, small, small / large, "MB", note=note)
    many = peak("memory_many", 20, side, "2")
    record("harness memory, 20 images/2", many, small, small / many, "MB", 0.9, note="flat is 1")
    # Five scales, not two: a process holds all it ever needs after the first few shapes.
    few, more = (peak(f"memory{side}", 2, side, text) for text in ("2.1:2.5", "2.1:4.0"))
    record("harness memory, 20 scales/5", more, few, few / more, "MB", 0.9, note="flat is 1; irn-type3")


def print_peak(folder: str, scales: str, threads: str) -> None:
    """Run irn on a folder and print the peak memory of this process in MB."""
    methods = "irn:weights=random" if scales == "2" else "irn-type3:weights=random"
    run(Request(methods, folder, scales, metrics=METRICS, threads=int(threads)))
    # Not ru_maxrss: Linux hands that of the parent, which holds more, down through fork and exec.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) * 1024 / 1e6)


PARTS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "overhead": overhead,
    "jobs": jobs,
    "beside": beside,
    "batch": batch,
    "allocator": allocator,
    "growth": growth,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--side", type=int, default=256, help="of the square images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--halves", nargs=4, metavar=("METHOD", "FOLDER", "THREADS", "MALLOC"), help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=3, metavar=("FOLDER", "SCALES", "THREADS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print_peak(*given.peak)
        return
    if given.halves:
        print_halves(*given.halves)
        return
    torch.set_num_threads(given.threads)
    print(HEADER)
    with tempfile.TemporaryDirectory() as base:
        for part in given.only.split(","):
            PARTS[part](Path(base), given)


if __name__ == "__main__":
    main()

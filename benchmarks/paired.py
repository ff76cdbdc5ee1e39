"""What all benchmarks share: alternating measurements, one line per case, and rows for the common table.

`benchmarks/run.py` names a file in ROWS; every case adds a JSON line to it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from rescale_bench.machine.profiling import count_macs, measure

ROWS = "RESCALE_BENCH_BENCHMARK_ROWS"
HEADER = f"{'':28} {'plain':>9} {'ours':>9} {'ratio':>7} {'goal':>6}  note"

Run = Callable[[], object]
Image = Callable[[], torch.Tensor]


def record(
    case: str,
    ours: float,
    rival: float,
    ratio: float,
    unit: str = "s",
    goal: float | None = None,
    macs: int | None = None,
    note: str = "",
) -> None:
    """Print a case and keep it for the common table.

    ours, rival: medians in a unit. ratio: what is judged, above 1 better for us, wanted at least goal.
    macs: multiply-accumulates of the plain module, from which the achieved part of the machine's peak follows.
    """
    wanted = "" if goal is None else f"{goal:.2f}"
    print(f"{case:28} {rival:9.3f} {ours:9.3f} {ratio:7.2f} {wanted:>6}  {note}", flush=True)
    if file := os.environ.get(ROWS):
        row = {"case": case, "ours": ours, "rival": rival, "ratio": ratio, "unit": unit, "goal": goal, "note": note}
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({**row, "macs": macs}) + "\n")


def seconds(run: Run) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(ours: Run, rival: Run, rounds: int) -> tuple[float, float, float]:
    """Run both in turn; return our median seconds, the rival's, and the median ratio rival/ours within a pair."""
    pairs = [(seconds(rival), seconds(ours)) for _ in range(rounds)]
    theirs, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, theirs, statistics.median(a / b for a, b in pairs)


def compare(case: str, plain: Image, ours: Image, rounds: int, goal: float = 1.0, tolerance: float = 1e-5) -> float:
    """Compare outputs and time of our module and the plain one; return the ratio.

    Raises SystemExit where outputs differ by more than the tolerance times the largest value.
    """
    with torch.inference_mode():
        expected = plain()
        difference = float((ours() - expected).abs().max() / expected.abs().max())
        if difference > tolerance:
            raise SystemExit(f"{case}: outputs differ by {difference:.1e} of the largest")
        mine, theirs, ratio = alternate(ours, plain, rounds)
    record(case, mine, theirs, ratio, goal=goal, macs=count_macs(plain), note=f"difference {difference:.0e}")
    return ratio


def print_peak(warm_up: Run, call: Run) -> None:
    """Print, as JSON, MB of this process idle after a small call, and at the peak of the one that is judged."""
    warm_up()
    idle, most = measure(lambda: None)[2], measure(call)[2]
    if idle is None or most is None:
        raise SystemExit("this machine does not tell the peak memory of a process")
    print(json.dumps((idle, most)))


def peak_apart(script: str, *arguments: str) -> tuple[float, float]:
    """Run a script that prints its peak, in a process of its own: an allocator keeps what its process once used."""
    done = subprocess.run([sys.executable, script, *arguments], check=True, capture_output=True, text=True)
    idle, most = json.loads(done.stdout)
    return idle, most


def record_peaks(
    case: str, ours: tuple[float, float], rival: tuple[float, float], goal: float, net: bool = False
) -> None:
    """Compare peaks, each (idle, most) in MB: as processes have them, or net of the idle process."""
    (my_idle, mine), (their_idle, theirs) = ours, rival
    my_own, their_own = max(mine - my_idle, 1.0), theirs - their_idle
    note = f"share {mine / theirs:.2f}, net {my_own / their_own:.2f}"
    if net:
        record(f"{case} net peak", my_own, their_own, their_own / my_own, "MB", goal, note=note)
    else:
        record(f"{case} peak", mine, theirs, theirs / mine, "MB", goal, note=note)


def picture(height: int, width: int) -> torch.Tensor:
    """Draw a smooth random image (1, 3, height, width) in 8-bit levels, in [0, 1], with a little noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 8 + 1, width // 8 + 1, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1).mul(255).round().div(255)


def sides(text: str) -> tuple[int, int]:
    """Read "512" or "1024x768" (width × height) as (height, width)."""
    width, _, height = text.partition("x")
    return int(height or width), int(width)

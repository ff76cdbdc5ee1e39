"""Run all benchmarks, each in a process of its own, and print one table.

    python benchmarks/run.py [--quick] [--only irn,aidn] [--threads 2] [--json rows.json]

A ratio above 1 means that rescale-bench is better than what it is compared with (a plain module from the
specification, scikit-image, Pillow, torch, or a goal in seconds); ratios are medians of pairs. "of peak" is the
arithmetic of the plain module done in our time, divided by what a large 3×3 convolution in float32 reaches on
this machine just before; rearranged modules do less arithmetic than they replace. Ends with 1 if any goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from paired import ROWS, seconds
from tabulate import tabulate

HERE = Path(__file__).parent
INFERENCE = ("irn", "aidn", "car", "fgrn", "edsr", "arbrcan")
OTHERS = ("fidelity", "resize", "startup", "harness")
QUICK = {
    "aidn": ["--sizes", "256", "--rounds", "2"],
    "arbrcan": ["--sizes", "256", "--rounds", "1"],
    "car": ["--sizes", "128", "--rounds", "2"],
    "edsr": ["--sizes", "128", "--rounds", "2"],
    "harness": ["--images", "5", "--side", "128", "--rounds", "2"],
}
FULL = {"aidn": ["--sizes", "512,1024x768"], "irn": ["--sizes", "512,1024x768"]}


def convolution_peak(rounds: int = 7) -> float:
    """Measure floating-point operations per second of a large 3×3 convolution (128 to 128 channels, 256², float32)."""
    layer = torch.nn.Conv2d(128, 128, 3, padding=1).to(memory_format=torch.channels_last)
    image = torch.randn(1, 128, 256, 256).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        layer(image)
        spent = statistics.median(seconds(lambda: layer(image)) for _ in range(rounds))
    return 2 * 9 * 128 * 128 * 256**2 / spent


def flags(name: str, quick: bool, threads: int) -> list[str]:
    """Choose the arguments of a benchmark."""
    if name in ("fidelity", "resize"):
        return [str(threads)]
    if name == "startup":
        return []
    chosen = QUICK.get(name, ["--sizes", "256", "--rounds", "3"]) if quick else FULL.get(name, [])
    return [*chosen, "--threads", str(threads)]


def rows_of(name: str, arguments: list[str], threads: int) -> tuple[list[dict[str, Any]], bool]:
    """Run one benchmark; return its rows and whether it ended well. What it prints passes to stderr."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        environment = {**os.environ, ROWS: str(file), "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(
            [sys.executable, str(HERE / f"{name}.py"), *arguments], env=environment, stdout=sys.stderr, check=False
        )
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines()], done.returncode == 0


def line(row: dict[str, Any], peak: float) -> list[object]:
    """Lay out one row of the table."""
    achieved = f"{2 * row['macs'] / row['ours'] / peak:.0%}" if row["macs"] else ""
    goal = "" if row["goal"] is None else f"{row['goal']:.2f}"
    verdict = "" if row["goal"] is None else ("met" if row["ratio"] >= row["goal"] else "MISSED")
    ours, rival = (f"{row[key]:.4g} {row['unit']}" for key in ("ours", "rival"))
    return [row["case"], rival, ours, f"{row['ratio']:.2f}", goal, verdict, achieved, row["note"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small images and few rounds: minutes, less certain")
    parser.add_argument("--only", default=",".join((*INFERENCE, *OTHERS)))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    names = given.only.split(",")
    if unknown := set(names) - {*INFERENCE, *OTHERS}:
        parser.error(f"--only: no benchmark {', '.join(sorted(unknown))}; known: {', '.join((*INFERENCE, *OTHERS))}")
    found: list[dict[str, Any]] = []
    table: list[list[object]] = []
    broken = []
    for name in names:
        peak = convolution_peak()
        rows, well = rows_of(name, flags(name, given.quick, given.threads), given.threads)
        found += [{**row, "peak": peak} for row in rows]
        table += [line(row, peak) for row in rows]
        broken += [] if well else [name]
    print(
        f"{given.threads} threads; convolution peak {statistics.median(row['peak'] for row in found) / 1e9:.0f} GFLOP/s"
    )
    print(
        tabulate(
            table, headers=("case", "compared", "ours", "ratio", "goal", "", "of peak", "note"), disable_numparse=True
        )
    )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name in broken:
        print(f"{name} broke off: see above", file=sys.stderr)
    return int(bool(broken) or any(row["goal"] is not None and row["ratio"] < row["goal"] for row in found))


if __name__ == "__main__":
    sys.exit(main())

"""How long the light verbs take: `python benchmarks/startup.py`. The goal is under 0.5 s, without torch."""

import statistics
import subprocess
import sys
import time

from paired import record

ROUNDS = 7
GOAL = 0.5
"""Seconds."""
COMMANDS = (["--help"], ["list"], ["info", "irn"], ["info", "rgb8"])


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    bare = [sys.executable, "-c", "pass"]
    for arguments in COMMANDS:
        command = [sys.executable, "-m", "rescale_bench", *arguments]
        # Alternating with a bare interpreter, so that a busy machine shows in both.
        pairs = [(seconds(command), seconds(bare)) for _ in range(ROUNDS)]
        ours, python = (statistics.median(column) for column in zip(*pairs, strict=True))
        note = f"goal {GOAL} s; a bare interpreter takes {python:.3f} s"
        record(f"startup {' '.join(arguments)}", ours, GOAL, GOAL / ours, "s", 1.0, note=note)


if __name__ == "__main__":
    main()

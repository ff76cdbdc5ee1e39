"""How long the light verbs take: `python benchmarks/startup.py`. The goal is under 0.5 s, without torch."""

import statistics
import subprocess
import sys
import time

ROUNDS = 7
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
        print(f"rescale-bench {' '.join(arguments):<12} {ours:.3f} s   (bare interpreter {python:.3f} s)")


if __name__ == "__main__":
    main()

"""What a run was asked to do, as plain values."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescale_bench.errors import UsageError
from rescale_bench.metrics import DEFAULT_METRICS

DEFAULT_METHODS = "nearest,bilinear,bicubic,lanczos3"


@dataclass(frozen=True)
class Request:
    """One `run` command.

    methods, datasets, scales, metrics, codecs: lists as texts of the command line ("" codecs: each method's own).
    protocol: name, with switches if any. output: folder (None: runs/<protocol>). limit: images per data set (0: all).
    jobs: processes. threads: torch threads per process (0: cores / jobs). device: cpu, cuda, cuda:1, or auto.
    reference: method that tables compare with. keep: store LR files and restored images.
    plugins: single-file plugins. seed: of the whole run.
    """

    methods: str = DEFAULT_METHODS
    datasets: str = "photos"
    scales: str = "2,3,4"
    protocol: str = "rgb8"
    metrics: str = ",".join(DEFAULT_METRICS)
    codecs: str = ""
    output: Path | None = None
    limit: int = 0
    jobs: int = 1
    threads: int = 0
    device: str = "cpu"
    seed: int = 0
    reference: str = "bicubic"
    keep: bool = False
    plugins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the numbers. Raises UsageError naming the flag."""
        for flag, value, low in (("limit", self.limit, 0), ("jobs", self.jobs, 1), ("threads", self.threads, 0)):
            if value < low:
                raise UsageError(f"--{flag}: {value} is below {low}")
        if self.seed < 0:
            raise UsageError(f"--seed: {self.seed} is below 0")

    @property
    def folder(self) -> Path:
        """Where results go: the output taken literally, or runs/<protocol>."""
        return self.output if self.output is not None else Path("runs") / self.protocol.replace(":", "_")

    @property
    def threads_each(self) -> int:
        """Torch threads of one process; all processes together never exceed the cores."""
        return self.threads or max(1, _cores() // self.jobs)

    def asked(self) -> dict[str, Any]:
        """Lay the request out for run.json."""
        return {**dataclasses.asdict(self), "output": str(self.folder), "plugins": list(self.plugins)}


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1

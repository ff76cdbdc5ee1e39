"""What a run was asked to do, as plain values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rescale_bench.errors import UsageError
from rescale_bench.machine.device import usable_cores
from rescale_bench.machine.memory import parse_bytes

DEFAULT_METHODS = "bicubic,lanczos3,irn-type3,aidn"
DTYPES = ("float32", "bf16")
BACKENDS = ("local", "loky", "dask")
"""loky is what local was called when joblib ran the processes."""

MANY = 8
"""Threads from which on one of them is better spent on decoding and scoring than on convolutions."""


@dataclass(frozen=True)
class Request:
    """One `run` command.

    methods, datasets, scales, metrics, codecs, damage: lists as texts of the command line ("" metrics: those whose
    records say so; "" codecs: each method's own; "" damage: none).
    protocol: name, with switches if any. output: folder (None: runs/<protocol>). limit: images per data set (0: all).
    jobs: processes. threads: torch threads per process (0: cores / jobs). device: cpu, cuda, cuda:1, or auto.
    reference: method that tables compare with. keep: store LR files and restored images.
    plugins: single-file plugins. seed: of the whole run.
    tile: "off", "auto" (tiles where the memory does not suffice), or LR pixels of a tile's side (part of the key).
    dtype: "float32", or "bf16" for convolutions and matrix products in bfloat16 (part of the key).
    timeout: seconds a cell may take (0: any). memory_limit: of one process, as "4GB" ("": none).
    batch: images of one size that go through a network at once, where it takes them (part of the key).
    compile: put torch.compile around networks (part of the key).
    backend: "local" for processes of this machine, "dask" for the workers of the scheduler ("tcp://HOST:8786").
    """

    methods: str = DEFAULT_METHODS
    datasets: str = "photos"
    scales: str = "2,3,4"
    protocol: str = "rgb8"
    metrics: str = ""
    codecs: str = ""
    damage: str = ""
    output: Path | None = None
    limit: int = 0
    jobs: int = 1
    threads: int = 0
    device: str = "cpu"
    seed: int = 0
    reference: str = "bicubic"
    keep: bool = False
    plugins: tuple[str, ...] = ()
    tile: str = "off"
    dtype: str = "float32"
    batch: int = 1
    compile: bool = False
    timeout: int = 0
    memory_limit: str = ""
    backend: str = "local"
    scheduler: str = ""

    def __post_init__(self) -> None:
        """Check what can be checked without plugins. Raises UsageError."""
        lowest = {"limit": 0, "jobs": 1, "threads": 0, "seed": 0, "timeout": 0, "batch": 1}
        for name, low in lowest.items():
            if getattr(self, name) < low:
                raise UsageError(f"{getattr(self, name)} is below {low}", name)
        for name, choices in (("dtype", DTYPES), ("backend", BACKENDS)):
            if getattr(self, name) not in choices:
                raise UsageError(f"'{getattr(self, name)}' is none of {', '.join(choices)}", name)
        if self.tile not in ("off", "auto") and not (self.tile.isascii() and self.tile.isdigit() and int(self.tile)):
            raise UsageError(f"'{self.tile}' is none of off, auto, or a side in LR pixels (64)", "tile")
        parse_bytes(self.memory_limit, "memory_limit")
        if (self.backend == "dask") != bool(self.scheduler):
            raise UsageError(
                "dask and the address of a scheduler (tcp://HOST:PORT) belong together; give both or neither", "backend"
            )
        if self.batch > 1 and (self.limited or self.backend == "dask"):
            raise UsageError("with a timeout, a memory limit or dask a cell runs alone; drop one", "batch")
        if self.backend == "dask" and self.keep:
            raise UsageError("dask leaves no images on this machine; run without", "keep")

    @property
    def folder(self) -> Path:
        """Where results go: the output taken literally, or runs/<protocol>."""
        return self.output if self.output is not None else Path("runs") / self.protocol.replace(":", "_")

    @property
    def threads_each(self) -> int:
        """Threads of one process; all processes together never exceed the cores, unless jobs alone do.

        A Dask worker counts as one core: give it more with --threads where it has more to itself.
        """
        return self.threads or (1 if self.backend == "dask" else max(1, usable_cores() // self.jobs))

    @property
    def limited(self) -> bool:
        """Whether cells run in a process of their own."""
        return bool(self.timeout or self.memory_limit)

    def scores_beside(self, device: str) -> bool:
        """Tell whether one image is scored, and the next one decoded, while another goes through the halves.

        One of the process's threads does that; the halves must have enough of them, or a GPU, to do without it.
        Several processes overlap anyway.
        """
        if self.jobs > 1 or self.limited or self.backend == "dask":
            return False
        return device.startswith("cuda") or self.threads_each >= MANY

    @property
    def fixed_tile(self) -> str:
        """What the key of a cell says of tiles: "" but for a given side; auto gives the numbers of the whole."""
        return str(int(self.tile)) if self.tile.isdigit() else ""

    @property
    def memory_bytes(self) -> int:
        """The memory limit in bytes, 0 for none."""
        return parse_bytes(self.memory_limit, "memory_limit")

    def asked(self) -> dict[str, Any]:
        """Lay the request out for run.json."""
        return {**dataclasses.asdict(self), "output": str(self.folder), "plugins": list(self.plugins)}

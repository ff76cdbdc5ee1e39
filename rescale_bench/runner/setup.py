"""What all cells of a run share, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setup:
    """What all cells of a run share.

    metrics: labels; versions: of their implementations. keep: a folder for outputs or "".
    auto_tile: run in tiles what does not fit into the memory; share: processes that share this machine's.
    timeout: seconds a cell may take, memory_limit: bytes a process may hold; 0 for any (see guard).
    traces: put the traceback of a failure into the line, under "trace".
    guarded: run cells in a process that they alone can lose (see guard); limits do so too.
    beside: prepare and score images in a thread of its own, with one torch thread, while another goes through the
    halves (see Worker.stream).
    """

    plugins: tuple[str, ...]
    metrics: tuple[str, ...]
    device: str
    threads: int
    keep: str = ""
    versions: tuple[str, ...] = ()
    auto_tile: bool = False
    share: int = 1
    timeout: int = 0
    memory_limit: int = 0
    traces: bool = False
    guarded: bool = False
    beside: bool = False

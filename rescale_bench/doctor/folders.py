"""Whether the folders can be written, and have room."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rescale_bench.doctor import OK, PROBLEM, WARNING, Check
from rescale_bench.machine.writing import reason
from rescale_bench.weights import downloads
from rescale_bench.weights import files as weights_files

ROOM = 2_000_000_000
"""Bytes; the largest data set and the files of all metrics together."""


def folders(output: Path) -> Iterator[Check]:
    """Look at the results folder, the cache and the home of weights. Creates nothing that stays."""
    yield _folder("results", output, "choose another folder with -o", PROBLEM)
    offline = " (RESCALE_BENCH_OFFLINE is set: nothing is downloaded)" if downloads.is_offline() else ""
    yield _folder("cache", downloads.cache_folder(), "set RESCALE_BENCH_CACHE to a folder of yours", WARNING, offline)
    yield _folder("home", weights_files.home(), "set RESCALE_BENCH_HOME to a folder of yours", WARNING)


def _folder(name: str, folder: Path, remedy: str, otherwise: str, remark: str = "") -> Check:
    status = PROBLEM if otherwise == PROBLEM else WARNING
    existing = nearest(folder)
    if not existing.is_dir():
        return Check(name, status, f"{existing} is a file, not a folder", remedy)
    if trouble := refusal(existing):
        return Check(name, status, f"{folder} cannot be written: {trouble}", remedy)
    free = shutil.disk_usage(existing).free
    made = "" if existing == folder else ", made when needed"
    detail = f"{folder} is writable{made}, {free / 1e9:.1f} GB free{remark}"
    if free < ROOM:
        return Check(name, WARNING, detail, f"make room, or {remedy}")
    return Check(name, OK, detail)


def nearest(path: Path) -> Path:
    """Give the path itself, or the nearest thing above it that exists."""
    path = Path(os.path.abspath(path))
    return next(one for one in (path, *path.parents) if os.path.lexists(one))


def refusal(folder: Path) -> str:
    """Try to write a file into a folder and remove it; say why that fails, "" where it does not."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return reason(error)
    return ""

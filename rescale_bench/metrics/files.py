"""Get the files that metrics need, by `rescale-bench prepare` alone: never while scoring.

They lie under `TORCH_HOME/hub`, where torch.hub and pyiqa look too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rescale_bench.api.records import MetricFile
from rescale_bench.errors import UnavailableError
from rescale_bench.weights.downloads import fetch
from rescale_bench.weights.files import sha256


def prepare_files(files: Iterable[MetricFile], report: Callable[[str], None]) -> list[Path]:
    """Fetch the files that are not there yet, check them all, and say so line by line.

    Returns where they lie. Raises UnavailableError when a file cannot be had or its checksum differs.
    """
    return [_prepare(file, report) for file in dict.fromkeys(files)]


def _prepare(file: MetricFile, report: Callable[[str], None]) -> Path:
    target = file.location
    if not file.sha256 and not target.is_file():
        raise UnavailableError(f"{target}: no checksum is known to fetch it by; put {file.url} there by hand")
    if target.is_file():
        _check(target, file)
    else:
        fetch(file.url, partial(_check, file=file), target)
    report(f"{target} is in place")
    return target


def _check(path: Path, file: MetricFile) -> None:
    found = sha256(path)
    if not found.startswith(file.sha256):
        raise UnavailableError(
            f"{path} has sha256 {found}, but the file of {file.url} has {file.sha256}; delete it and prepare again"
        )

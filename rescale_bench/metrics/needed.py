"""Get the files that metrics need, by `rescale-bench prepare` alone: never while scoring.

They lie under `TORCH_HOME/hub`, where torch.hub and pyiqa look too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rescale_bench.api.metrics import AnyMetric, MetricFile
from rescale_bench.errors import UnavailableError, WeightsError
from rescale_bench.machine.writing import reason, write_atomically
from rescale_bench.weights.downloads import fetch
from rescale_bench.weights.stored import sha256


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


def bring_file(path: Path, metric: AnyMetric, report: Callable[[str], None]) -> Path:
    """Put a file that the user has where a metric looks for it, once it is known to be one of the metric's.

    Returns where it lies. Raises UnavailableError when it is none of them, or cannot be copied.
    """
    if not path.is_file():
        raise UnavailableError(f"{path} is no file")
    for file in metric.files:
        # A file without a checksum is known by its name alone.
        if _is(path, file) if file.sha256 else path.name == file.location.name:
            try:
                file.location.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(file.location, partial(shutil.copyfile, path))
            except OSError as error:
                raise UnavailableError(f"{file.location} cannot be written: {reason(error)}") from None
            report(f"{file.location} is a copy of {path}")
            return file.location
    wanted = " or ".join(Path(file.path).name for file in metric.files) or "no file at all"
    raise UnavailableError(f"{path} is none of the files of {metric.name}, which needs {wanted}")


def _is(path: Path, file: MetricFile) -> bool:
    if sha256(path).startswith(file.sha256):
        return True
    try:
        return file.same is not None and file.same(path)
    except WeightsError:
        return False


def _check(path: Path, file: MetricFile) -> None:
    if not _is(path, file):
        raise UnavailableError(
            f"{path} has sha256 {sha256(path)}, but the file of {file.url} has {file.sha256}; delete it and prepare "
            "again"
        )

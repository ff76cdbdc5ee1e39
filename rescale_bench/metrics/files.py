"""The files that some metrics need: where they lie, where they come from, how they are checked.

They lie under `TORCH_HOME/hub`, where torch.hub and pyiqa look too, and get there by `rescale-bench prepare`
alone: never while scoring.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from rescale_bench.errors import UnavailableError


@dataclass(frozen=True)
class MetricFile:
    """One file of a metric.

    path: relative to TORCH_HOME. url: its public home.
    sha256: of the file, or its first digits where the publisher states no more (torch.hub's file names do); "" where
    none is known to us: such a file is never fetched, its user brings it.
    """

    path: str
    url: str
    sha256: str

    @property
    def location(self) -> Path:
        """Say where the file has to lie."""
        return torch_home() / self.path


NIQE_PRISTINE = MetricFile(
    path="hub/pyiqa/niqe_modelparameters.mat",
    url="https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/niqe_modelparameters.mat",
    sha256="f69cf71bf56f2fed544445dc55fb703ed41fbdf035e20fb31588791dd3ec205a",
)
ALEXNET = MetricFile(
    path="hub/checkpoints/alexnet-owt-7be5be79.pth",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    sha256="7be5be79",
)
INCEPTION = MetricFile(
    path="hub/checkpoints/pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
)
NRQM_MODEL = MetricFile(
    path="hub/pyiqa/NRQM_model.mat",
    url="https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/NRQM_model.mat",
    sha256="",
)

FILES: Mapping[str, tuple[MetricFile, ...]] = MappingProxyType(
    {
        "niqe_lr": (NIQE_PRISTINE,),
        "niqe_lr_diff": (NIQE_PRISTINE,),
        "lpips_alex": (ALEXNET,),
        "pi": (NIQE_PRISTINE, NRQM_MODEL),
        "fid": (INCEPTION,),
        "kid": (INCEPTION,),
    }
)
"""What each metric needs."""


def torch_home() -> Path:
    """Find torch's home as torch.hub does: TORCH_HOME, else torch/ in XDG_CACHE_HOME or ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser()


def missing_files(metric: str) -> list[str]:
    """List the problems with the files of a metric; empty when all are in place."""
    absent = [file for file in FILES.get(metric, ()) if not file.location.is_file()]
    return [f"metric {metric}: {file.location} is missing; {_remedy(metric, file)}" for file in absent]


def _remedy(metric: str, file: MetricFile) -> str:
    return f"rescale-bench prepare --metrics {metric}" if file.sha256 else f"put {file.url} there by hand"


def prepare_metric_files(names: Iterable[str], report: Callable[[str], None]) -> list[Path]:
    """Fetch the files of the named metrics that are not there yet, check them, and say so line by line.

    Returns where they lie. Raises UnavailableError when a file cannot be had or its checksum differs.
    """
    wanted = dict.fromkeys(file for name in names for file in FILES.get(name, ()))
    return [_prepare(file, report) for file in wanted]


def _prepare(file: MetricFile, report: Callable[[str], None]) -> Path:
    target = file.location
    if not file.sha256 and not target.is_file():
        raise UnavailableError(f"{target}: no checksum is known to fetch it by; put {file.url} there by hand")
    if target.is_file():
        _check(target, file)
    else:
        from rescale_bench.weights import downloads

        downloads.fetch_accepted(file.url, partial(_check, file=file), target, report)
    report(f"{target} is in place")
    return target


def _check(path: Path, file: MetricFile) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(file.sha256):
        raise UnavailableError(
            f"{path} has sha256 {found}, but the file of {file.url} has {file.sha256}; delete it and prepare again"
        )

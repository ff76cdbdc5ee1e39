"""Python, packages, processor, GPU and folders: what a run needs of the machine."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import rescale_bench
from rescale_bench.doctor import OK, PROBLEM, WARNING, Check
from rescale_bench.machine import environment
from rescale_bench.machine.device import usable_cores
from rescale_bench.machine.writing import reason
from rescale_bench.weights import downloads
from rescale_bench.weights.stored import home

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "rescale-bench"
EXTRAS = {"iqa": "niqe_lr, lpips_alex, pi, fid and the like", "cluster": "run --backend dask"}
"""What a user may want beyond the core, and for what."""
CPU_WHEELS = "https://download.pytorch.org/whl/cpu"


def python() -> Iterator[Check]:
    """Compare Python and the installed version with the metadata."""
    from packaging.specifiers import SpecifierSet

    about = importlib.metadata.metadata(DISTRIBUTION)
    wanted, here = SpecifierSet(about["Requires-Python"] or ""), platform.python_version()
    fits = wanted.contains(here, prereleases=True)
    yield Check("python", OK if fits else PROBLEM, f"{here} (wanted {wanted})", "" if fits else "use a newer Python")
    found, known = about["Version"], rescale_bench.__version__
    if found == known:
        yield Check("rescale-bench", OK, found)
    else:
        detail = f"the metadata says {found}, the code {known}"
        yield Check("rescale-bench", PROBLEM, detail, "install again: pip install --force-reinstall rescale-bench")


def packages() -> Iterator[Check]:
    """Compare every requirement of the metadata with what is installed: the core, then each extra."""
    core, missing = _compared("")
    for requirement, found in missing:
        yield Check(requirement.name, PROBLEM, _wrong(requirement, found), f"pip install '{_plain(requirement)}'")
    if not missing:
        yield Check("packages", OK, f"all {core} required packages are within their ranges")
    for extra, purpose in EXTRAS.items():
        yield _extra(extra, purpose)


def _extra(extra: str, purpose: str) -> Check:
    count, wrong = _compared(extra)
    install = f"pip install '{DISTRIBUTION}[{extra}]'"
    if not count:  # an older editable installation does not know of it
        return Check(f"extra {extra}", WARNING, "the installed metadata lacks it", "install rescale-bench again")
    if not wrong:
        return Check(f"extra {extra}", OK, f"installed, for {purpose}")
    detail = "; ".join(_wrong(requirement, found) for requirement, found in wrong)
    if all(found is None for _, found in wrong) and len(wrong) == count:
        return Check(f"extra {extra}", OK, f"not installed; only needed for {purpose}: {install}")
    return Check(f"extra {extra}", WARNING, f"{detail}; needed for {purpose}", install)


def _compared(extra: str) -> tuple[int, list[tuple[Requirement, str | None]]]:
    """Count the requirements of an extra ("" the core), and list those that are not met with what is there."""
    wanted = list(requirements(importlib.metadata.requires(DISTRIBUTION) or (), extra))
    found = [(one, installed(one.name)) for one in wanted]
    wrong = [(one, here) for one, here in found if here is None or not one.specifier.contains(here, prereleases=True)]
    return len(wanted), wrong


def requirements(lines: Iterable[str], extra: str = "") -> Iterator[Requirement]:
    """Pick the requirements that count on this machine for an extra ("" the core) out of metadata lines."""
    from packaging.requirements import Requirement

    for line in lines:
        one = Requirement(line)
        without, within = ({"extra": name} for name in ("", extra))
        core = one.marker is None or one.marker.evaluate(without)
        if (core and not extra) or (not core and one.marker is not None and one.marker.evaluate(within)):
            yield one


def installed(name: str) -> str | None:
    """Give the version of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _wrong(requirement: Requirement, found: str | None) -> str:
    wanted = f"{requirement.name}{requirement.specifier}"
    return f"{wanted} is not installed" if found is None else f"{requirement.name} {found} where {wanted} is wanted"


def _plain(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


# --- torch ---------------------------------------------------------------------


def torch() -> Iterator[Check]:
    """Import torch and compute something."""
    try:
        module = importlib.import_module("torch")
        total = float((module.arange(4.0).reshape(2, 2) @ module.ones(2, 2)).sum())
    except Exception as error:
        yield Check("torch", PROBLEM, f"does not load: {_line(error)}", f"pip install torch --index-url {CPU_WHEELS}")
        return
    if total != 12:
        yield Check("torch", PROBLEM, f"{module.__version__} computes 12 as {total}", "install torch again")
        return
    yield Check("torch", OK, f"{module.__version__}, {_build(module.version.cuda)}")


def _build(cuda: str | None) -> str:
    return f"built for CUDA {cuda}" if cuda else "built for the CPU alone"


def torchvision() -> Iterator[Check]:
    """Compare torchvision with the torch that it was built for, and call one of its operators."""
    here, torch_here = installed("torchvision"), installed("torch")
    if here is None:
        yield Check("torchvision", OK, "not installed; only the extra iqa needs it")
        return
    wanted = wanted_torch(importlib.metadata.requires("torchvision") or ())
    if torch_here and wanted and not wanted.specifier.contains(torch_here, prereleases=True):
        detail = f"{here} was built for torch{wanted.specifier}, not {torch_here}"
        yield Check("torchvision", WARNING, detail, f"pip install --upgrade torchvision 'torch{wanted.specifier}'")
        return
    yield _operators(here, torch_here or "")


def wanted_torch(lines: Iterable[str]) -> Requirement | None:
    """Find the torch that a torchvision wheel pins in its metadata."""
    return next((one for one in requirements(lines) if one.name == "torch"), None)


def _operators(here: str, torch_here: str) -> Check:
    from rescale_bench.machine.torchvision_shim import import_torchvision

    try:
        import_torchvision()
    except Exception as error:
        return Check("torchvision", WARNING, f"{here} does not load: {_line(error)}", _same_build(torch_here))
    module, ops = importlib.import_module("torch"), importlib.import_module("torchvision.ops")
    try:
        ops.nms(module.tensor([[0.0, 0.0, 1.0, 1.0]]), module.ones(1), 0.5)
    except Exception:
        detail = f"{here} loads without its operators (built for another torch build); no metric needs them"
        return Check("torchvision", WARNING, detail, _same_build(torch_here))
    return Check("torchvision", OK, f"{here} fits torch {torch_here}, operators work")


def _same_build(torch_here: str) -> str:
    build = re.search(r"\+(cpu|cu\d+|rocm[\d.]+)$", torch_here)
    index = f" --index-url https://download.pytorch.org/whl/{build[1]}" if build else ""
    return f"pip install --force-reinstall --no-deps torchvision{index}"


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def cpu() -> Iterator[Check]:
    """Name the processor, its memory and torch's threads."""
    torch = importlib.import_module("torch")
    cores, threads = usable_cores(), torch.get_num_threads()
    memory = environment.memory_mb()
    detail = f"{environment.cpu_model()}, {cores} usable cores, torch uses {threads} threads"
    detail += f", {memory / 1000:.0f} GB" if memory else ""
    if threads > cores:
        yield Check("cpu", WARNING, detail, f"set OMP_NUM_THREADS={cores}, or run with --threads {cores}")
    else:
        yield Check("cpu", OK, detail)


def gpu() -> Iterator[Check]:
    """Compute on each CUDA device, and find cards that torch cannot use."""
    torch = importlib.import_module("torch")
    cards = environment.gpus()
    if not torch.cuda.is_available():
        if cards and torch.version.cuda is None:
            detail = f"{', '.join(cards)}: this torch was built for the CPU alone"
            yield Check("gpu", WARNING, detail, "install a CUDA build of torch: https://pytorch.org/get-started")
        elif cards:
            detail = f"{', '.join(cards)}: not visible to torch (driver {environment.gpu_driver()})"
            yield Check("gpu", WARNING, detail, "update the driver, and look at CUDA_VISIBLE_DEVICES")
        else:
            yield Check("gpu", OK, "none; everything runs on the CPU")
        return
    for index in range(torch.cuda.device_count()):
        yield _card(torch, index)


def _card(torch: object, index: int) -> Check:
    name, device = f"cuda:{index}", f"cuda:{index}"
    try:
        about = torch.cuda.get_device_properties(index)  # type: ignore[attr-defined]  # torch, imported late
        total = float(torch.ones(8, device=device).sum())  # type: ignore[attr-defined]  # as above
    except Exception as error:
        text = (str(error).splitlines() or [""])[0]
        return Check(name, PROBLEM, f"cannot compute: {text}", "update the driver, or use --device cpu")
    if total != 8:
        return Check(name, PROBLEM, f"computes 8 as {total}", "use --device cpu")
    return Check(name, OK, f"{about.name}, {about.total_memory / 1e9:.0f} GB; choose it with --device {device}")


ROOM = 2_000_000_000
"""Bytes; the largest data set and the files of all metrics together."""


def folders(output: Path) -> Iterator[Check]:
    """Look at the results folder, the cache and the home of weights. Creates nothing that stays."""
    yield _folder("results", output, "choose another folder with -o", PROBLEM)
    offline = " (RESCALE_BENCH_OFFLINE is set: nothing is downloaded)" if downloads.is_offline() else ""
    yield _folder("cache", downloads.cache_folder(), "set RESCALE_BENCH_CACHE to a folder of yours", WARNING, offline)
    yield _folder("home", home(), "set RESCALE_BENCH_HOME to a folder of yours", WARNING)


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

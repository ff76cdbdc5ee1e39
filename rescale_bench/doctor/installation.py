"""Whether the right software is installed, and loads."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import rescale_bench
from rescale_bench.doctor import OK, PROBLEM, WARNING, Check

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

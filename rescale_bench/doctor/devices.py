"""What there is to compute on."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from rescale_bench.doctor import OK, PROBLEM, WARNING, Check
from rescale_bench.machine import environment
from rescale_bench.machine.device import usable_cores


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

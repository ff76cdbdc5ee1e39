"""Every check, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rescale_bench.doctor import PROBLEM, Check, content, devices, folders, installation
from rescale_bench.doctor.plugins import load_what_loads


def examine(files: Sequence[str] = (), output: Path = Path("runs")) -> Iterator[Check]:
    """Yield one check after the other; never raises for what it finds.

    files: single-file plugins, as for load_registry. output: the folder that runs are written below.
    """
    yield from _guarded("python", installation.python)
    yield from _guarded("packages", installation.packages)
    yield from _guarded("torch", installation.torch)
    yield from _guarded("torchvision", installation.torchvision)
    yield from _guarded("cpu", devices.cpu)
    yield from _guarded("gpu", devices.gpu)
    registry, plugins = load_what_loads(files)
    yield from plugins
    yield from _guarded("weights", partial(content.weights, registry))
    yield from _guarded("codecs", partial(content.codecs, registry))
    yield from _guarded("metrics", partial(content.metrics, registry))
    yield from _guarded("data", partial(content.data, registry))
    yield from _guarded("folders", partial(folders.folders, output))


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Turn an unforeseen exception into a problem: a broken installation breaks anywhere."""
    try:
        yield from look()
    except Exception as error:
        yield Check(name, PROBLEM, f"could not be examined: {type(error).__name__}: {error}", "reinstall rescale-bench")

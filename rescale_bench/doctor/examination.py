"""Every check, one after the other, and how plugins are loaded each by itself."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rescale_bench.api.registry import DISABLE_VARIABLE, GROUP, PLUGINS_VARIABLE, Registry, load_registry
from rescale_bench.doctor import OK, PROBLEM, WARNING, Check, content, installation
from rescale_bench.errors import PluginError
from rescale_bench.machine import environment


def examine(files: Sequence[str] = (), output: Path = Path("runs")) -> Iterator[Check]:
    """Yield one check after the other; never raises for what it finds.

    files: single-file plugins, as for load_registry. output: the folder that runs are written below.
    """
    yield from _guarded("python", installation.python)
    yield from _guarded("packages", installation.packages)
    yield from _guarded("torch", installation.torch)
    yield from _guarded("torchvision", installation.torchvision)
    yield from _guarded("cpu", installation.cpu)
    yield from _guarded("gpu", installation.gpu)
    registry, plugins = load_what_loads(files)
    yield from plugins
    yield from _guarded("weights", partial(content.weights, registry))
    yield from _guarded("codecs", partial(content.codecs, registry))
    yield from _guarded("metrics", partial(content.metrics, registry))
    yield from _guarded("data", partial(content.data, registry))
    yield from _guarded("folders", partial(installation.folders, output))


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Turn an unforeseen exception into a problem: a broken installation breaks anywhere."""
    try:
        yield from look()
    except Exception as error:
        yield Check(name, PROBLEM, f"could not be examined: {type(error).__name__}: {error}", "reinstall rescale-bench")


def load_what_loads(files: Sequence[str] = ()) -> tuple[Registry, list[Check]]:
    """Load every plugin that can be loaded beside those before it; the others become problems.

    Returns the registry of the good ones and the checks. Raises PluginError where not even the built-in parts load.
    """
    given = tuple(dict.fromkeys((*_from_variable(), *files)))
    names = sorted({entry.name for entry in importlib.metadata.entry_points(group=GROUP)})
    disabled = _disabled()
    broken: list[tuple[str, str]] = []
    try:
        registry = load_registry(given, from_variable=False)
    except PluginError:
        registry, broken = _one_by_one(given, [name for name in names if name not in disabled])
    checks = [Check(f"plugin {name}", PROBLEM, text, _remedy(name, name in given)) for name, text in broken]
    bad = {name for name, _ in broken}
    good = [name for name in (*names, *given) if name not in bad | disabled]
    checks.insert(0, Check("plugins", OK, f"{len(good)} load: {', '.join(_known(name) for name in good)}"))
    for name in sorted(disabled - set(names)):
        detail = f"{DISABLE_VARIABLE} leaves out '{name}', which is not installed"
        checks.append(Check("plugins", WARNING, detail, f"installed are {', '.join(names)}"))
    return registry, checks


def _one_by_one(files: Sequence[str], names: Sequence[str]) -> tuple[Registry, list[tuple[str, str]]]:
    """Add one plugin after the other and leave out those that fail, ours first."""
    foreign = environment.plugins()
    good: list[str] = []
    broken: list[tuple[str, str]] = []
    registry = load_registry(without=names, from_variable=False)
    for name in [*sorted(names, key=lambda name: name in foreign), *files]:
        tried = [*good, name]
        try:
            registry = load_registry(
                [file for file in files if file in tried],
                without=[other for other in names if other not in tried],
                from_variable=False,
            )
        except PluginError as error:
            broken.append((name, str(error)))
        else:
            good = tried
    return registry, broken


def _known(name: str) -> str:
    """Name a plugin, with its package where that is not ours."""
    package = environment.plugins().get(name, "")
    return f"{name} {package[package.index('(') :]}" if package else Path(name).name


def _remedy(name: str, is_file: bool) -> str:
    if is_file:
        return f"repair {name}, or leave out --plugin ({PLUGINS_VARIABLE})"
    return f"repair or uninstall it, or set {DISABLE_VARIABLE}={name}"


def _disabled() -> set[str]:
    return {name for name in os.environ.get(DISABLE_VARIABLE, "").split(",") if name}


def _from_variable() -> list[str]:
    return [entry for entry in os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if entry]

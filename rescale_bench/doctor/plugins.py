"""Whether the plugins load, each by itself and all together."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Sequence
from pathlib import Path

from rescale_bench.api.registry import DISABLE_VARIABLE, GROUP, PLUGINS_VARIABLE, Registry, load_registry
from rescale_bench.doctor import OK, PROBLEM, WARNING, Check
from rescale_bench.errors import PluginError
from rescale_bench.machine import environment


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

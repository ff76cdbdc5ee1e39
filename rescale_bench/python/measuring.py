"""`run`, `score` and `open_run` for Python: what they give is a stored run that shows itself."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.api.registry import Registry, load_registry
from rescale_bench.machine.printable import plural
from rescale_bench.python.experiments import marked, split_methods, with_methods
from rescale_bench.python.results import Results
from rescale_bench.runner.cells import Plan
from rescale_bench.runner.execute import Track, measure
from rescale_bench.runner.given import Files, plan_given
from rescale_bench.runner.plan import plan
from rescale_bench.runner.progress import tracked
from rescale_bench.runner.request import DEFAULT_METHODS, Request


def run(
    methods: str | Sequence[object] = DEFAULT_METHODS,
    datasets: str | Sequence[str | Path] = "photos",
    scales: str | Sequence[object] = "2,3,4",
    *,
    output: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Results:
    """Measure methods over data sets and scales, as `rescale-bench run` does, and return the run.

    methods: names as on the command line, or a list that may also hold Methods and Rescalers. output: the run's folder
    (None: runs/PROTOCOL). settings: as the flags of `run` (protocol, metrics, codecs, limit, jobs, keep, plugins, …).
    Cells that fail are rows, and a warning. An interrupt keeps what is measured; the next call goes on from there.
    Raises UsageError, UnavailableError, PluginError, StoreError.
    """
    names, objects = split_methods(methods)
    request = _request(methods=names, datasets=datasets, scales=scales, output=output, **settings)
    registry = with_methods(load_registry(request.plugins), objects, request)
    return _measured("run", marked(plan(request, registry), objects), registry, quiet)


def score(
    name: str,
    hr: str | Path,
    sr: str | Path,
    scale: object,
    *,
    lr: str | Path = "",
    dataset: str = "",
    crop: int = 1,
    output: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Results:
    """Measure images that were made elsewhere, as `rescale-bench score` does, and return the run.

    hr: a folder or a data set. sr, lr: folders, or templates with {name}. crop: HR sides are cut to multiples of it.
    settings, errors and interrupts: as for run.
    """
    request = _request(methods=name, datasets=hr, scales=scale, output=output, **settings)
    registry = load_registry(request.plugins)
    grid = plan_given(request, Files(str(sr), str(lr), dataset, crop), registry)
    return _measured("score", grid, registry, quiet)


def open_run(path: str | Path) -> Results:
    """Open a stored run: a run folder, or a file of tidy rows. Raises StoreError where there is none."""
    found = Results(Path(path))
    found.rows  # noqa: B018  # a wrong path is told at once
    return found


def _request(**settings: Any) -> Request:
    """Make a request of what a user of Python gives: lists for texts with commas, paths as text. Raises UsageError."""
    texts = ("methods", "datasets", "scales", "metrics", "codecs", "damage")
    given: dict[str, Any] = {key: _joined(value) if key in texts else value for key, value in settings.items()}
    plugins = given.get("plugins", ())
    given["plugins"] = (str(plugins),) if isinstance(plugins, (str, Path)) else tuple(map(str, plugins))
    if given["output"] is not None:
        given["output"] = Path(given["output"])
    return Request(**given)


def _joined(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _measured(verb: str, grid: Plan, registry: Registry, quiet: bool) -> Results:
    track: Track | None = None if quiet else tracked
    outcome = measure(grid, registry, _call(verb, grid.request), track)
    if outcome.failures:
        first = outcome.failures[0]
        warnings.warn(f"{plural(len(outcome.failures), 'cell')} failed, for example: {first['error']}", stacklevel=3)
    if outcome.interrupted:
        warnings.warn(outcome.notes[-1], stacklevel=3)
    return Results(outcome.folder, outcome.cells, outcome.notes, outcome.interrupted)


def _call(verb: str, request: Request) -> list[str]:
    """Write a call for the history of a run: what differs from the defaults."""
    asked, usual = request.asked(), Request().asked()
    return [f"rescale_bench.{verb}", *(f"{key}={value}" for key, value in asked.items() if value != usual[key])]

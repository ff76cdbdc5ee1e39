"""How a request becomes a plan: which images, and which methods with which weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, get_args

from rescale_bench.api.metrics import MetricGroup
from rescale_bench.api.records import Method, Metric, Protocol, SetMetric
from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.api.specs import parse_list, parse_spec, split_list
from rescale_bench.datasets import find_dataset
from rescale_bench.errors import RescaleBenchError, UsageError
from rescale_bench.roundtrip.tiling import draws, margin_of, why_whole
from rescale_bench.runner.cells import NO_DAMAGE, Part, Picture, Plan, Steps
from rescale_bench.runner.hashing import look_at_all
from rescale_bench.runner.request import Request
from rescale_bench.weights.choice import ChosenWeights, choose_weights, load_states

ALL = "all"
METRIC_GROUPS = (ALL, *get_args(MetricGroup))
"""Names that stand for several metrics."""


def plan(request: Request, registry: Registry) -> Plan:
    """Turn a request into a plan. Raises UsageError, and UnavailableError for missing images or weights."""
    protocol = registry.choose_protocol(request.protocol)
    scales = parse_scales(request.scales)
    methods = _distinct(registry.choose_method(spec) for spec in parse_list(request.methods, "methods"))
    notes: list[str] = []
    metrics, set_metrics = choose_metrics(request, registry, notes)
    codecs = choose_codecs(request, registry, protocol)
    damages = choose_damages(request, registry, protocol)
    pictures = _pictures(request, registry, notes)
    parts = [
        part for method in methods for part in method_parts(method, scales, codecs, request, registry, notes, damages)
    ]
    if not parts or not pictures:
        raise UsageError("nothing to run: " + "; ".join(notes))
    return Plan(request, protocol, metrics, set_metrics, tuple(pictures), tuple(parts), tuple(notes))


def choose_metrics(
    request: Request, registry: Registry, notes: list[str]
) -> tuple[tuple[Chosen, ...], tuple[Chosen, ...]]:
    """Choose the metrics of images, and those of whole data sets; a group stands for its metrics. Raises UsageError.

    notes: gets a line for each metric of a group that cannot be measured here.
    """
    names = request.metrics or ",".join(registry.default_metrics)
    found: list[Chosen] = []
    for spec in parse_list(names, "metrics"):
        if spec.text in METRIC_GROUPS and spec.name not in registry.metrics:
            found += _of_group(spec.text, request, registry, notes)
        else:
            found.append(registry.choose_metric(spec))
    chosen = _distinct(found)
    metrics = tuple(metric for metric in chosen if isinstance(metric.record, Metric))
    set_metrics = tuple(metric for metric in chosen if isinstance(metric.record, SetMetric))
    _check_sets(request, metrics, set_metrics)
    return metrics, set_metrics


def _of_group(group: str, request: Request, registry: Registry, notes: list[str]) -> Iterator[Chosen]:
    """Give the metrics of a group that can be measured here, in the order of tables."""
    for metric in registry.ordered_metrics:
        if group not in (metric.group, ALL):
            continue
        problems = metric.problems()
        if isinstance(metric, SetMetric) and not request.keep:
            problems = ["measured on stored pictures: `run --keep`"]
        if problems:
            notes.append(f"{group} without {metric.name}: {problems[0]}")
        else:
            yield registry.choose_metric(parse_spec(metric.name, "metrics"))


def _check_sets(request: Request, metrics: Sequence[Chosen], set_metrics: Sequence[Chosen]) -> None:
    """Refuse metrics of whole data sets where their pictures are not kept, or where no image is scored."""
    for metric in set_metrics:
        if not request.keep:
            raise UsageError(
                f"{metric.label} is a value of a whole data set, measured on stored pictures: `run --keep`, or "
                f"`rescale-bench distribution --metrics {metric.label}` on a kept run",
                "metrics",
            )
        if not metrics:
            raise UsageError(f"{metric.label} is a value of a whole data set: name a metric of images too", "metrics")


def _distinct(chosen: Iterable[Chosen]) -> list[Chosen]:
    items: dict[tuple[str, str], Chosen] = {}
    for item in chosen:
        first = items.setdefault((item.label, item.weights), item)
        if first.record.version != item.record.version:
            raise UsageError(f"two different files are called {item.label}; rename one")
    return list(items.values())


def choose_codecs(request: Request, registry: Registry, protocol: Protocol) -> tuple[Chosen | None, ...]:
    """Choose the codecs that were asked for; none where each method takes its own."""
    if protocol.lr_rounding == "none":
        if request.codecs:
            raise UsageError(f"protocol {protocol.name} passes the LR in float, without a file", "codecs")
        return (None,)
    specs = parse_list(request.codecs, "codecs") if request.codecs else []
    return tuple(_distinct(registry.choose_codec(spec) for spec in specs))


def choose_damages(request: Request, registry: Registry, protocol: Protocol) -> tuple[Steps, ...]:
    """Choose what is to happen to the LR, one thing for each value of the grid. Raises UsageError."""
    texts = split_list(request.damage, "damage") if request.damage else [NO_DAMAGE]
    chosen = [() if text == NO_DAMAGE else registry.choose_damage(text) for text in texts]
    if protocol.lr_rounding == "none" and any(chosen):
        raise UsageError(f"protocol {protocol.name} passes the LR in float, without a file to damage", "damage")
    return tuple({tuple(step.label for step in steps): steps for steps in chosen}.values())


# --- pictures --------------------------------------------------------------------


def _pictures(request: Request, registry: Registry, notes: list[str]) -> list[Picture]:
    """List the images of all data sets, the largest file first."""
    texts = [text.strip() for text in request.datasets.split(",")]
    if not all(texts):
        raise UsageError(f"empty entry in '{request.datasets}'", "datasets")
    found: list[Picture] = []
    names: set[str] = set()
    for text in dict.fromkeys(texts):
        dataset, crop = find_dataset(text, registry.datasets)
        if dataset.name in names:
            # Two folders called alike would share rows of the table.
            raise UsageError(
                f"'{request.datasets}' holds two data sets called {dataset.name}; rename one folder", "datasets"
            )
        names.add(dataset.name)
        files = dataset.images()
        if dataset.count is not None and len(files) != dataset.count:
            notes.append(f"{dataset.name}: {len(files)} images found where {dataset.count} are usual")
        chosen = files[: request.limit or None]
        for file, about in zip(chosen, look_at_all(file.path for file in chosen), strict=True):
            found.append(Picture(dataset.name, file.name, str(file.path), crop, *about))
    return sorted(found, key=lambda picture: (-picture.size, picture.path))


# --- parts -----------------------------------------------------------------------


def method_parts(
    method: Chosen,
    scales: Sequence[Decimal],
    codecs: tuple[Chosen | None, ...],
    request: Request,
    registry: Registry,
    notes: list[str],
    damages: tuple[Steps, ...] = ((),),
) -> Iterator[Part]:
    """Choose a method's weights, and together those scales that take the same; what is left out is put into notes."""
    record: Method = method.record
    served = [scale for scale in scales if scale in record.scales]
    notes.extend(_not_served(method, [scale for scale in scales if scale not in served], registry))
    by_parts: dict[tuple[str, ...], list[Decimal]] = {}
    for scale in served:
        by_parts.setdefault(record.parts(scale), []).append(scale)
    by_weights: dict[ChosenWeights, list[Decimal]] = {}
    for together in by_parts.values():  # files are hashed once for all scales of a network
        by_weights.setdefault(choose_weights(method, together[0], registry), []).extend(together)
    states = [partial(load_states, weights.files, registry, record.traits.derived) for weights in by_weights]
    notes.extend(_check_tile(record, [margin_of(record, load, method.options) for load in states], request)
                 if request.tile != "off" else ())  # fmt: skip
    batch = request.batch if record.traits.batches else 1
    # Each cell's draws begin at a seed of its own.
    if batch > 1 and any(draws(record, load, method.options) for load in states):
        batch = 1
    compiled = request.compile and record.traits.compiles
    notes.extend(_refused(method, request, batch, compiled))
    if record.traits.ceiling and any(damages):
        notes.append(
            f"damage: {method.label} is a ceiling, whose LR is no picture; it is measured without damage alone"
        )
        damages = ((),) if () in damages else ()
    for weights, own in by_weights.items() if damages else ():
        yield Part(method, weights, tuple(own), codecs or (registry.own_codec(record),), batch, compiled, damages)


def _check_tile(method: Method, margins: Iterable[int | None], request: Request) -> Iterator[str]:
    """Refuse tiles of a given size where they cannot equal the whole; say where auto will not tile."""
    for reason in dict.fromkeys(filter(None, (why_whole(method, margin) for margin in margins))):
        if request.fixed_tile:
            raise UsageError(f"{request.tile}: {reason}, so its tiles differ from the whole; use auto or off", "tile")
        yield f"tile=auto: {reason}; it runs on whole images only"


def _refused(method: Chosen, request: Request, batch: int, compiled: bool) -> Iterator[str]:
    if request.compile and not compiled:
        yield f"compile: {method.label} has nothing to compile; it is measured as without"
    if request.batch > 1 and batch == 1:
        reason = "draws random numbers" if method.record.traits.batches else "takes one image at a time"
        yield f"batch: {method.label} {reason}; it is measured as without"


def _not_served(method: Chosen, missing: Sequence[Decimal], registry: Registry) -> Iterator[str]:
    """Say which scales are left out, and which wrapper of the method would serve them."""
    if not missing:
        return
    text = f"{method.label} serves {method.record.scales}: {_counted(missing)} left out"
    wrapping = [rule for rule in registry.rules if "NAME" in rule.form]
    for rule in () if method.record.traits.derived else wrapping:
        with contextlib.suppress(RescaleBenchError):  # where the rule cannot wrap this method
            wrapper = registry.method(rule.form.replace("NAME", method.record.name))
            if wrapper.traits.indirect and (served := [scale for scale in missing if scale in wrapper.scales]):
                text += f"; {wrapper.name} serves {_counted(served)}"
                break
    yield text


def _counted(scales: Sequence[Decimal]) -> str:
    return str(scales[0]) if len(scales) == 1 else f"{len(scales)} scales ({scales[0]} … {scales[-1]})"


# --- what is there ---------------------------------------------------------------


def missing_values(stored: Mapping[str, Any] | None, metrics: Sequence[Chosen]) -> list[str]:
    """Name the metrics that a stored cell lacks, failed, or has from another version."""
    values = stored["values"] if stored is not None and stored["status"] != "failed" else {}
    return [metric.label for metric in metrics if not _settled(values.get(metric.label), metric.record.version)]


def _settled(entry: Mapping[str, Any] | None, version: str) -> bool:
    return entry is not None and entry["status"] in ("ok", "undefined") and entry.get("version") == version


def preflight(grid: Plan) -> None:
    """Check what the chosen metrics and codecs need before anything runs.

    Raises RescaleBenchError with all problems and the commands that help, so that nothing fails after hours.
    """
    codecs = {codec.record.name: codec.record for part in grid.parts for codec in part.codecs if codec}
    problems = [problem for metric in (*grid.metrics, *grid.set_metrics) for problem in metric.record.problems()]
    problems += [problem for name in sorted(codecs) for problem in codecs[name].requires()]
    if problems:
        raise RescaleBenchError("cannot start: " + "; ".join(dict.fromkeys(problems)))

"""Cells: the unit of work, its key, and how a request becomes a list of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from rescale_bench.api.records import ImageFile, Method, Protocol, SetMetric
from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.scales import parse_scales
from rescale_bench.api.specs import parse_list
from rescale_bench.datasets import find_dataset
from rescale_bench.errors import RescaleBenchError, UsageError
from rescale_bench.roundtrip.tiling import draws, margin_of, why_whole
from rescale_bench.runner.arithmetic import Arithmetic
from rescale_bench.runner.request import Request
from rescale_bench.runs.schema import cell_key
from rescale_bench.weights.choice import ChosenWeights, choose_weights, load_states

NO_FILE = "none"


@dataclass(frozen=True)
class Cell:
    """One round trip to be run; everything in it is plain, so that any process can take it.

    cell: the key. method: the name, options: canonical text. weights: tag. files: path by weights part
    ("" for random ones). crop: HR sides are cut to multiples of it (variants such as @mod12).
    tile: side of the tiles in LR pixels where one was asked for, else "" (whole, or what is equal to it).
    dtype, batch, compiled: how it is computed (see Arithmetic).
    """

    cell: str
    method: str
    options: str
    weights: str
    weights_sha256: str
    files: tuple[tuple[str, str], ...]
    dataset: str
    image: str
    path: str
    image_sha256: str
    crop: int
    scale: str
    codec: str
    protocol: str
    protocol_version: int
    seed: int
    tile: str = ""
    dtype: str = "float32"
    batch: int = 1
    compiled: bool = False
    native: bool = True
    ceiling: bool = False

    def identity(self) -> dict[str, Any]:
        """Lay out what a journal line says about the cell."""
        hidden = ("files", "path", "crop")
        return {name: value for name, value in vars(self).items() if name not in hidden}


@dataclass(frozen=True)
class Plan:
    """The grid of a request: its cells in the order of running, and what was left out and why."""

    cells: tuple[Cell, ...]
    metrics: tuple[Chosen, ...]
    protocol: Protocol
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Images:
    name: str
    crop: int
    files: tuple[tuple[ImageFile, str], ...] = field(default_factory=tuple)


def plan(request: Request, registry: Registry) -> Plan:
    """Turn a request into cells. Raises UsageError, and UnavailableError for missing images or weights."""
    protocol = registry.choose_protocol(request.protocol)
    scales = parse_scales(request.scales)
    methods = _distinct(registry.choose_method(spec) for spec in parse_list(request.methods, "--methods"))
    metrics = _metrics(request, registry)
    _refuse_sets(metrics)
    codecs = _codecs(request, registry, protocol)
    cells: list[Cell] = []
    notes: list[str] = []
    datasets = [_images(name, request.limit, registry, notes) for name in _names(request.datasets)]
    _refuse_same_names(datasets, request.datasets)
    for method in methods:
        served = [scale for scale in scales if scale in method.record.scales]
        notes.extend(_not_served(method, scales, served))
        weights = {scale: choose_weights(method, scale, registry) for scale in served}
        notes.extend(_check_tile(method, request, weights.values(), registry))
        arithmetic = _arithmetic(method, request, weights.values(), registry)
        notes.extend(_refused(method, request, arithmetic))
        own = codecs or [registry.own_codec(method.record)]
        cells.extend(_cells(method, datasets, weights, own, protocol, request, arithmetic))
    if not cells:
        raise UsageError("nothing to run: " + "; ".join(notes))
    return Plan(tuple(cells), tuple(metrics), protocol, tuple(notes))


def _metrics(request: Request, registry: Registry) -> list[Chosen]:
    names = request.metrics or ",".join(registry.default_metrics)
    return _distinct(registry.choose_metric(spec) for spec in parse_list(names, "--metrics"))


def _refuse_sets(metrics: Sequence[Chosen]) -> None:
    for metric in metrics:
        if isinstance(metric.record, SetMetric):
            raise UsageError(
                f"--metrics: {metric.record.name} is a value of a data set, not of an image: `run --keep`, then "
                f"`rescale-bench distribution --metrics {metric.record.name}`"
            )


def _distinct(chosen: Iterable[Chosen]) -> list[Chosen]:
    return list({(item.label, item.weights): item for item in chosen}.values())


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"--datasets: empty entry in '{text}'")
    return list(dict.fromkeys(names))


def _codecs(request: Request, registry: Registry, protocol: Protocol) -> list[Chosen | None]:
    if protocol.lr_rounding == "none":
        if request.codecs:
            raise UsageError(f"--codecs: protocol {protocol.name} passes the LR in float, without a file")
        return [None]
    specs = parse_list(request.codecs, "--codecs") if request.codecs else []
    return list(_distinct(registry.choose_codec(spec) for spec in specs))


def _images(name: str, limit: int, registry: Registry, notes: list[str]) -> _Images:
    dataset, crop = find_dataset(name, registry.datasets)
    files = dataset.images()
    if dataset.count is not None and len(files) != dataset.count:
        notes.append(f"{dataset.name}: {len(files)} images found where {dataset.count} are usual")
    return _Images(dataset.name, crop, tuple((file, _sha256(file.path)) for file in files[: limit or None]))


def _refuse_same_names(datasets: Sequence[_Images], asked: str) -> None:
    """Two folders called alike would share rows of the table."""
    names = [images.name for images in datasets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--datasets: '{asked}' holds two data sets called {name}; rename one folder")


def _sha256(path: Path) -> str:
    """Hash a file; "" where it cannot be read (the cell then fails with the reason)."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return ""


def _check_tile(
    method: Chosen, request: Request, weights: Iterable[ChosenWeights], registry: Registry
) -> Iterable[str]:
    """Refuse tiles of a given size where they cannot equal the whole; say where auto will not tile."""
    if request.tile == "off":
        return []
    record: Method = method.record
    states = (partial(load_states, chosen.files, registry, record.traits.derived) for chosen in weights)
    margins = [margin_of(record, load, method.options) for load in states]
    reasons = list(dict.fromkeys(filter(None, (why_whole(record, margin) for margin in margins))))
    for reason in reasons if request.fixed_tile else ():
        raise UsageError(f"--tile {request.tile}: {reason}, so its tiles differ from the whole; use --tile auto or off")
    return [f"--tile auto: {reason}; it runs on whole images only" for reason in reasons]


def _arithmetic(method: Chosen, request: Request, weights: Iterable[ChosenWeights], registry: Registry) -> Arithmetic:
    """Say how this method's networks will run: together and compiled only where it takes that."""
    record: Method = method.record
    batch = request.batch if record.traits.batches else 1
    if batch > 1:
        states = (partial(load_states, chosen.files, registry, record.traits.derived) for chosen in weights)
        # Each cell's draws begin at a seed of its own.
        batch = 1 if any(draws(record, load, method.options) for load in states) else batch
    return Arithmetic(request.dtype, batch, request.compile and record.traits.compiles)


def _refused(method: Chosen, request: Request, arithmetic: Arithmetic) -> Iterable[str]:
    if request.compile and not arithmetic.compiled:
        yield f"--compile: {method.label} has nothing to compile; it is measured as without"
    if request.batch > 1 and arithmetic.batch == 1:
        reason = "draws random numbers" if method.record.traits.batches else "takes one image at a time"
        yield f"--batch: {method.label} {reason}; it is measured as without"


def _not_served(method: Chosen, scales: Sequence[Decimal], served: Sequence[Decimal]) -> list[str]:
    missing = [str(scale) for scale in scales if scale not in served]
    if not missing:
        return []
    which = missing[0] if len(missing) == 1 else f"{len(missing)} scales ({missing[0]} … {missing[-1]})"
    text = f"{method.label} serves {method.record.scales}: {which} left out"
    return [text if method.record.traits.derived else f"{text}; {method.record.name}-type3 may serve them"]


def _cells(
    method: Chosen,
    datasets: Sequence[_Images],
    weights: Mapping[Decimal, ChosenWeights],
    codecs: Sequence[Chosen | None],
    protocol: Protocol,
    request: Request,
    arithmetic: Arithmetic,
) -> Iterable[Cell]:
    for images in datasets:
        for file, sha256 in images.files:
            for scale, chosen in weights.items():
                for codec in codecs:
                    yield _cell(method, images, (file, sha256), (scale, chosen), codec, protocol, request, arithmetic)


def _cell(
    method: Chosen,
    images: _Images,
    image: tuple[ImageFile, str],
    at: tuple[Decimal, ChosenWeights],
    codec: Chosen | None,
    protocol: Protocol,
    request: Request,
    arithmetic: Arithmetic,
) -> Cell:
    (file, sha256), (scale, weights) = image, at
    _, _, options = method.label.partition(":")
    fields: dict[str, Any] = {
        "method": method.record.name,
        "options": options,
        "weights": weights.tag,
        "weights_sha256": weights.sha256,
        "dataset": images.name,
        "image": file.name,
        "image_sha256": sha256,
        "scale": str(scale),
        "codec": codec.label if codec else NO_FILE,
        "protocol": protocol.name,
        "protocol_version": protocol.version,
        "seed": request.seed,
        "tile": request.fixed_tile,
        **vars(arithmetic),
    }
    versions = {"method": method.record.version, "codec": codec.record.version if codec else ""}
    key = cell_key(fields, versions)
    more = {"crop": images.crop, "native": not method.record.traits.indirect, "ceiling": method.record.traits.ceiling}
    return Cell(cell=key, files=weights.files, path=str(file.path), **more, **fields)


def missing_values(cell: Cell, known: Mapping[str, Any] | None, metrics: Sequence[Chosen]) -> list[str]:
    """Name the metrics that a stored cell lacks, failed, or has from another version."""
    if known is None or known["status"] == "failed":
        return [metric.label for metric in metrics]
    values = known["values"]
    return [metric.label for metric in metrics if not _settled(values.get(metric.label), metric.record.version)]


def _settled(entry: Mapping[str, Any] | None, version: str) -> bool:
    return entry is not None and entry["status"] in ("ok", "undefined") and entry.get("version") == version


def preflight(plan: Plan, registry: Registry) -> None:
    """Check what the chosen metrics and codecs need before anything runs.

    Raises UsageError with all problems and the commands that help, so that nothing fails after hours.
    """
    codecs = {cell.codec.partition(":")[0] for cell in plan.cells} - {NO_FILE}
    needed = [problem for metric in plan.metrics for problem in metric.record.problems()]
    needed += [problem for name in sorted(codecs) for problem in registry.codecs[name].requires()]
    if needed:
        raise RescaleBenchError("cannot start: " + "; ".join(dict.fromkeys(needed)))

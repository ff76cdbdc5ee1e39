"""What one process does: build a method once, run cells, turn every failure into a row."""

from __future__ import annotations

import math
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rescale_bench.errors import ImageError, MethodError, RescaleBenchError, UndefinedValueError
from rescale_bench.image import Loaded, read_image
from rescale_bench.interfaces import Method, Protocol, Sample, Value
from rescale_bench.method_weights import load_states
from rescale_bench.plugin_manager import Chosen, Registry, load_registry
from rescale_bench.roundtrip import Halves, Loop, cell_seed, prepare_hr, reference_lr, round_trip
from rescale_bench.runner.cells import NO_FILE, Cell
from rescale_bench.runner.keep import keep_outputs
from rescale_bench.runner.memory import free_bytes
from rescale_bench.specs import parse_spec
from rescale_bench.store import SCHEMA
from rescale_bench.tiling import Tiled, bytes_per_pixel, fitting_core, margin_of

IMAGE_BYTES = 256 * 2**20
KEPT_METHODS = 2


@dataclass(frozen=True)
class Setup:
    """What all cells of a run share.

    metrics: labels; versions: of their implementations. keep: a folder for outputs or "".
    auto_tile: run in tiles what does not fit into the memory; share: processes that share this machine's.
    timeout: seconds a cell may take, memory_limit: bytes a process may hold; 0 for any (see guard).
    traces: put the traceback of a failure into the line, under "trace".
    guarded: run cells in a process that they alone can lose (see guard); limits do so too.
    """

    plugins: tuple[str, ...]
    metrics: tuple[str, ...]
    device: str
    threads: int
    keep: str = ""
    versions: tuple[str, ...] = ()
    auto_tile: bool = False
    share: int = 1
    timeout: int = 0
    memory_limit: int = 0
    traces: bool = False
    guarded: bool = False


class Recent:
    """Keep what was used last, up to a total weight."""

    def __init__(self, limit: float) -> None:
        """Set the limit, in the unit of the weights given to get."""
        self.limit, self.total = limit, 0.0
        self.items: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any], weigh: Callable[[Any], float]) -> Any:
        """Return the item of a key, made now if it is not kept."""
        if key not in self.items:
            item = make()
            self.items[key] = (item, weigh(item))
            self.total += self.items[key][1]
            while self.total > self.limit and len(self.items) > 1:
                _, (_, weight) = self.items.popitem(last=False)
                self.total -= weight
        self.items.move_to_end(key)
        return self.items[key][0]


class Worker:
    """Runs cells in one process."""

    def __init__(self, setup: Setup) -> None:
        """Load the plugins and fix the number of threads."""
        import torch

        torch.set_num_threads(setup.threads)
        self.setup = setup
        self.registry: Registry = load_registry(setup.plugins)
        self.metrics = [self.registry.choose_metric(parse_spec(text, "--metrics")) for text in setup.metrics]
        self.images = Recent(IMAGE_BYTES)
        self.prepared = Recent(IMAGE_BYTES)
        self.halves = Recent(KEPT_METHODS)
        self.memory: dict[Hashable, float] = {}
        self.margins: dict[Hashable, int | None] = {}

    def run(self, cell: Cell) -> dict[str, Any]:
        """Measure one cell and return its journal line; nothing short of a kill escapes as an exception."""
        started = time.perf_counter()
        traces: list[str] = []
        try:
            line = self._measure(cell, traces)
        except (Exception, SystemExit) as error:  # a plugin that leaves must not take the run with it
            line = self._failed(describe(error))
            traces.append(traceback.format_exc())
        if self.setup.traces and traces:
            line["trace"] = "\n".join(traces)
        return {"schema": SCHEMA, **cell.identity(), **line, "seconds": time.perf_counter() - started}

    def _measure(self, cell: Cell, traces: list[str]) -> dict[str, Any]:
        protocol = self.registry.choose_protocol(cell.protocol)
        method = self.registry.method(cell.method)
        hr, reference = self._prepared(cell, protocol)
        halves = self.halves.get(build_key(cell), lambda: self._build(cell, method), lambda _: 1)
        core = self._tile(cell, halves, hr)
        if core:
            down, up = (Tiled(half, self._margin(cell, method) or 0, core) for half in (halves.down, halves.up))
            halves = replace(halves, down=down, up=up)
        sample = round_trip(
            replace(halves, dtype=cell.dtype),
            hr,
            Decimal(cell.scale),
            protocol,
            self._loop(cell),
            cell_seed(cell.seed, cell.method, cell.options, cell.image_sha256, cell.scale),
            reference,
            macs=any("macs" in metric.record.needs for metric in self.metrics),
        )
        values = {metric.label: _value(metric, sample, method, traces) for metric in self.metrics}
        if self.setup.keep:
            keep_outputs(Path(self.setup.keep), cell.cell, sample)
        return {
            "status": "failed" if any(entry["status"] == "failed" for entry in values.values()) else "ok",
            "error": "; ".join(entry["error"] for entry in values.values() if entry["status"] == "failed"),
            "peak_mb": max(filter(None, (sample.costs.peak_mb_down, sample.costs.peak_mb_up)), default=None),
            **_sizes(sample),
            "tiled": core if core < max(sample.lr.shape[-2:]) else 0,
            "values": values,
        }

    def _prepared(self, cell: Cell, protocol: Protocol) -> Any:
        """Decode an image and make its reference LR once for all methods."""
        scale = Decimal(cell.scale)

        def read() -> Loaded:
            image = read_image(Path(cell.path))
            if image.sha256 != cell.image_sha256:
                raise ImageError(f"{cell.path} changed while the run was going on; run the same command again")
            return image

        def make() -> Any:
            image: Loaded = self.images.get((cell.path, cell.image_sha256), read, lambda i: i.pixels.nbytes)
            hr = prepare_hr(image.pixels, image.grey, protocol, scale, cell.crop)
            return hr, reference_lr(hr, protocol, scale)

        # The content belongs to the key: a file may be another one when this process is asked again.
        key = (cell.path, cell.image_sha256, cell.scale, cell.protocol, cell.crop)
        return self.prepared.get(key, make, lambda pair: sum(item.nbytes for item in pair))

    def _tile(self, cell: Cell, halves: Halves, hr: Any) -> int:
        """Choose the side of a cell's tiles in LR pixels, 0 for the whole image."""
        if cell.tile:
            return int(cell.tile)
        margin = self._margin(cell, halves.method) if self.setup.auto_tile else None
        if margin is None:
            return 0
        key = (*build_key(cell), cell.scale)
        if key not in self.memory:
            # The downscaling instance runs both ways: the other one meets nothing but LR files.
            self.memory[key] = bytes_per_pixel(halves.down, float(cell.scale), self.setup.device)
        free = free_bytes(self.setup.device, self.setup.memory_limit, self.setup.share)
        size = (hr.shape[-2], hr.shape[-1])
        return fitting_core(self.memory[key], size, float(cell.scale), margin, free)

    def _margin(self, cell: Cell, method: Method) -> int | None:
        key = build_key(cell)
        if key not in self.margins:
            states = partial(load_states, cell.files, self.registry, method.derived)
            self.margins[key] = margin_of(method, states, self._options(cell))
        return self.margins[key]

    def _options(self, cell: Cell) -> Mapping[str, Value]:
        return self.registry.choose_method(parse_spec(f"{cell.method}:{cell.options}", "--methods")).options

    def _build(self, cell: Cell, method: Method) -> Halves:
        options = self._options(cell)

        def half() -> Any:
            states = load_states(cell.files, self.registry, method.derived)
            return method.build(states, self.setup.device, options)

        try:
            return Halves(method, half(), half(), self.setup.device)
        except RescaleBenchError:
            raise
        except Exception as error:
            raise MethodError(f"{method.name}: build raised {type(error).__name__}: {error}") from error

    def _loop(self, cell: Cell) -> Loop:
        if cell.codec == NO_FILE:
            return Loop(self.registry.codecs["png"], {})
        chosen = self.registry.choose_codec(parse_spec(cell.codec, "--codecs"))
        return Loop(chosen.record, chosen.options)

    def _failed(self, error: str) -> dict[str, Any]:
        return _failure([(metric.label, metric.record.version) for metric in self.metrics], error)


_NO_SIZES: Mapping[str, None] = dict.fromkeys(("height", "width", "lr_height", "lr_width", "tiled"))


def build_key(cell: Cell) -> tuple[Hashable, ...]:
    """Name what a cell needs built: cells with equal keys share one method, built once."""
    return cell.method, cell.options, cell.files


def describe(error: Exception | SystemExit) -> str:
    """Put an exception into the one line that stands in the row."""
    if isinstance(error, SystemExit):
        return f"a plugin called sys.exit({error.code})"
    if isinstance(error, RescaleBenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory; --tile auto may help"
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"


def failed_line(setup: Setup, cell: Cell, error: str, seconds: float) -> dict[str, Any]:
    """Write the journal line of a cell that no worker could finish."""
    line = _failure(list(zip(setup.metrics, setup.versions, strict=True)), error)
    return {"schema": SCHEMA, **cell.identity(), **line, "seconds": seconds}


def _failure(metrics: Sequence[tuple[str, str]], error: str) -> dict[str, Any]:
    values = {
        name: {"status": "failed", "version": version, "value": None, "error": error} for name, version in metrics
    }
    return {"status": "failed", "error": error, "peak_mb": None, **_NO_SIZES, "values": values}


def _sizes(sample: Sample) -> dict[str, int]:
    height, width = sample.hr.shape[-2:]
    lr_height, lr_width = sample.lr.shape[-2:]
    return {"height": height, "width": width, "lr_height": lr_height, "lr_width": lr_width}


def _value(metric: Chosen, sample: Sample, method: Method, traces: list[str]) -> dict[str, Any]:
    """Measure one metric; what it cannot say is undefined, what breaks is a failure of this value alone."""
    try:
        if method.ceiling and metric.record.judges in ("lr", "file"):
            raise UndefinedValueError(f"{method.name} is a ceiling and has no LR")
        value = float(metric.record.measure(sample, metric.options))
        if math.isnan(value):
            raise MethodError(f"{metric.label} returned nan")
    except UndefinedValueError as error:
        return _entry(metric, "undefined", error=str(error))
    except Exception as error:
        traces.append(traceback.format_exc())
        text = str(error) if isinstance(error, RescaleBenchError) else f"{type(error).__name__}: {error}"
        return _entry(metric, "failed", error=f"{metric.label}: {text}")
    return _entry(metric, "ok", value=value)


def _entry(metric: Chosen, status: str, value: float | None = None, error: str = "") -> dict[str, Any]:
    entry: dict[str, Any] = {"status": status, "version": metric.record.version, "value": value}
    return {**entry, "error": error} if error else entry


@lru_cache(maxsize=1)
def worker_for(setup: Setup) -> Worker:
    """Make the worker of this process, or return the one made before for the same setup."""
    return Worker(setup)

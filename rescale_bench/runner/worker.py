"""What one process does: build a method once, run cells, turn every failure into a row.

A cell has three stages: its image is prepared, goes through the two halves, and is scored. A thread beside the
halves can prepare the next image and score the last one (Setup.beside).
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rescale_bench.api.records import Method, Protocol, Sample, Value
from rescale_bench.api.registry import Registry, load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import ImageError, MethodError, RescaleBenchError
from rescale_bench.images.files import Loaded, read_image
from rescale_bench.machine.allocator import give_back, keep_freed_memory
from rescale_bench.machine.memory import free_bytes
from rescale_bench.machine.precision import exact_float32
from rescale_bench.networks.compiling import compile_rescaler
from rescale_bench.roundtrip.cell import Halves, Loop, cell_seed, prepare_hr, reference_lr, round_trips
from rescale_bench.roundtrip.tiling import Tiled, bytes_per_pixel, fitting_core, margin_of
from rescale_bench.runner.cells import NO_FILE, Cell
from rescale_bench.runner.entries import describe, failure, measured, sizes
from rescale_bench.runner.recent import Recent
from rescale_bench.runner.setup import Setup
from rescale_bench.runs.outputs import keep_outputs
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.weights.choice import load_states

log = logging.getLogger(__name__)

IMAGE_BYTES = 256 * 2**20
KEPT_METHODS = 2


@dataclass
class Work:
    """A cell on its way through the stages.

    hr, reference: from prepare_hr and reference_lr. tile: side of the tiles, 0 for the whole image.
    values: entries of metrics, by label, that were measured where the halves ran.
    error: "" while nothing went wrong.
    """

    cell: Cell
    hr: Any = None
    reference: Any = None
    method: Method | None = None
    sample: Sample | None = None
    tile: int = 0
    seconds: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traces: list[str] = field(default_factory=list)


class Worker:
    """Runs cells in one process."""

    def __init__(self, setup: Setup) -> None:
        """Load the plugins and fix the number of threads."""
        import torch

        torch.set_num_threads(setup.threads)
        exact_float32()
        keep_freed_memory()
        self.setup = setup
        self.registry: Registry = load_registry(setup.plugins)
        self.metrics = [self.registry.choose_metric(parse_spec(text, "--metrics")) for text in setup.metrics]
        self.images = Recent(IMAGE_BYTES)
        self.prepared = Recent(IMAGE_BYTES)
        self.halves = Recent(KEPT_METHODS)
        self.memory: dict[Hashable, float] = {}
        self.margins: dict[Hashable, int | None] = {}
        self.compiled: set[Hashable] = set()

    def run(self, cell: Cell) -> dict[str, Any]:
        """Measure one cell and return its journal line; nothing short of a kill escapes as an exception."""
        return self.run_all((cell,))[0]

    def run_all(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """Measure cells and return their lines; those of one size may go through the halves together."""
        works = self._prepare(cells)
        self._go_through(works)
        return self._score(works)

    def stream(self, batches: Sequence[Sequence[Cell]]) -> Iterator[dict[str, Any]]:
        """Measure one batch of cells after another, as run_all, and yield their lines.

        With Setup.beside one more thread decodes the next images, makes their reference LR, and scores the last ones.
        """
        if not self.setup.beside:
            for cells in batches:
                yield from self.run_all(cells)
            return
        import torch

        with ThreadPoolExecutor(1, "scores", _one_thread) as side:
            # What a thread sets holds for itself, and for those that begin later.
            side.submit(int).result()
            torch.set_num_threads(self.setup.threads)
            scored: Future[list[dict[str, Any]]] | None = None
            coming = side.submit(self._prepare, batches[0])
            for following in (*batches[1:], ()):
                works = coming.result()
                coming = side.submit(self._prepare, following)
                self._go_through(works)
                if scored is not None:
                    yield from scored.result()
                scored = side.submit(self._score, works)
            if scored is not None:
                yield from scored.result()

    def _prepare(self, cells: Sequence[Cell]) -> list[Work]:
        """Decode and crop the images and make their reference LR."""
        works = [Work(cell) for cell in cells]
        for work in works:
            with _stage(work):
                protocol = self.registry.choose_protocol(work.cell.protocol)
                work.hr, work.reference = self._prepared(work.cell, protocol)
        return works

    def _go_through(self, works: Sequence[Work]) -> None:
        """Give each work its sample, through the halves of its method and the file between them."""
        for group in self._together([work for work in works if not work.error]):
            if len(group) > 1 and self._batch(group):
                continue
            for work in group:
                with _stage(work):
                    self._halves([work])

    def _together(self, works: Sequence[Work]) -> list[list[Work]]:
        """Group what has one size: a file's head may say another than its pixels turn out to have."""
        groups: dict[Hashable, list[Work]] = {}
        for work in works:
            groups.setdefault(tuple(work.hr.shape), []).append(work)
        return list(groups.values())

    def _batch(self, works: Sequence[Work]) -> bool:
        """Run works together; False where that fails, so that each fails, or holds, alone."""
        started = time.perf_counter()
        try:
            self._halves(works)
        except (Exception, SystemExit) as error:
            log.debug("%s: %d images at once: %s; they go one by one", works[0].cell.method, len(works), error)
            return False
        for work in works:
            work.seconds += (time.perf_counter() - started) / len(works)
        return True

    def _halves(self, works: Sequence[Work]) -> None:
        first, cell = works[0], works[0].cell
        protocol, method = self.registry.choose_protocol(cell.protocol), self.registry.method(cell.method)
        halves = self.halves.get(build_key(cell), lambda: self._build(cell, method), lambda _: 1)
        core = self._tile(cell, halves, first.hr, len(works))
        if core and len(works) > 1:
            raise MethodError("the memory does not hold them at once")
        if core:
            down, up = (Tiled(half, self._margin(cell, method) or 0, core) for half in (halves.down, halves.up))
            halves = replace(halves, down=down, up=up)
        trips = partial(
            round_trips,
            replace(halves, dtype=cell.dtype),
            [work.hr for work in works],
            Decimal(cell.scale),
            protocol,
            self._loop(cell),
            cell_seed(cell.seed, cell.method, cell.options, cell.image_sha256, cell.scale),
            [work.reference for work in works],
            macs=self._needs("macs"),
            fresh=self._needs("quiet"),
        )
        shape = (build_key(cell), cell.scale, core, len(works), *first.hr.shape)
        if cell.compiled and shape not in self.compiled:
            trips()  # compiles: its seconds are not the method's
            self.compiled.add(shape)
        samples = trips()
        for work, sample in zip(works, samples, strict=True):
            work.sample, work.method = sample, method
            work.tile = core if core < max(sample.lr.shape[-2:]) else 0
            work.values = self._on_device(sample, method, work.traces)

    def _needs(self, what: str) -> bool:
        return any(what in metric.record.needs for metric in self.metrics)

    def _on_device(self, sample: Sample, method: Method, traces: list[str]) -> dict[str, Any]:
        """Measure what a GPU can, before the next images go through it: beside them it would count as their time."""
        chosen = [metric for metric in self.metrics if metric.record.on_device]
        if self.setup.device == "cpu" or not chosen:
            return {}
        there = sample.to(self.setup.device)
        return {metric.label: measured(metric, there, method, traces) for metric in chosen}

    def _score(self, works: Sequence[Work]) -> list[dict[str, Any]]:
        """Measure the metrics, keep what is to be kept, and write the journal lines."""
        return [self._line(work) for work in works]

    def _line(self, work: Work) -> dict[str, Any]:
        line: dict[str, Any] = {}
        with _stage(work):
            if work.sample is not None and work.method is not None and not work.error:
                line = self._scored(work, work.sample, work.method)
        if work.error:
            line = self._failed(work.error)
        if self.setup.traces and work.traces:
            line["trace"] = "\n".join(work.traces)
        return {"schema": SCHEMA, **work.cell.identity(), **line, "seconds": work.seconds}

    def _scored(self, work: Work, sample: Sample, method: Method) -> dict[str, Any]:
        values = {
            metric.label: work.values.get(metric.label) or measured(metric, sample, method, work.traces)
            for metric in self.metrics
        }
        if self.setup.keep:
            keep_outputs(Path(self.setup.keep), work.cell.cell, sample)
        return {
            "status": "failed" if any(entry["status"] == "failed" for entry in values.values()) else "ok",
            "error": "; ".join(entry["error"] for entry in values.values() if entry["status"] == "failed"),
            "peak_mb": max(filter(None, (sample.costs.peak_mb_down, sample.costs.peak_mb_up)), default=None),
            **sizes(sample),
            "tiled": work.tile,
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

    def _tile(self, cell: Cell, halves: Halves, hr: Any, count: int = 1) -> int:
        """Choose the side of a cell's tiles in LR pixels, 0 for the whole image; count: images that run at once."""
        if cell.tile:
            return int(cell.tile)
        margin = self._margin(cell, halves.method) if self.setup.auto_tile else None
        if margin is None:
            return 0
        key = (*build_key(cell), cell.scale)
        if key not in self.memory:
            # The downscaling instance runs both ways: the other one meets nothing but LR files.
            self.memory[key] = bytes_per_pixel(halves.down, float(cell.scale), self.setup.device)
        give_back()  # what earlier cells freed is free
        free = free_bytes(self.setup.device, self.setup.memory_limit, self.setup.share)
        size = (hr.shape[-2], hr.shape[-1])
        return fitting_core(count * self.memory[key], size, float(cell.scale), margin, free)

    def _margin(self, cell: Cell, method: Method) -> int | None:
        key = build_key(cell)
        if key not in self.margins:
            states = partial(load_states, cell.files, self.registry, method.traits.derived)
            self.margins[key] = margin_of(method, states, self._options(cell))
        return self.margins[key]

    def _options(self, cell: Cell) -> Mapping[str, Value]:
        return self.registry.choose_method(parse_spec(f"{cell.method}:{cell.options}", "--methods")).options

    def _build(self, cell: Cell, method: Method) -> Halves:
        options = self._options(cell)

        def half() -> Any:
            states = load_states(cell.files, self.registry, method.traits.derived)
            built = method.build(states, self.setup.device, options)
            return compile_rescaler(built) if cell.compiled else built

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
        return failure([(metric.label, metric.record.version) for metric in self.metrics], error)


def _one_thread() -> None:
    """Give the calling thread one torch thread."""
    import torch

    torch.get_num_threads()  # a thread's first question to torch sets the common number
    torch.set_num_threads(1)


@contextmanager
def _stage(work: Work) -> Iterator[None]:
    """Time a stage, and turn what it raises into the work's error; a plugin that leaves takes no run with it."""
    started = time.perf_counter()
    try:
        yield
    except (Exception, SystemExit) as error:
        work.error = describe(error)
        work.traces.append(traceback.format_exc())
    finally:
        work.seconds += time.perf_counter() - started


def build_key(cell: Cell) -> tuple[Hashable, ...]:
    """Name what a cell needs built: cells with equal keys share one method, built once, and may be one batch."""
    return cell.method, cell.options, cell.files, cell.dtype, cell.batch, cell.compiled


@lru_cache(maxsize=1)
def worker_for(setup: Setup) -> Worker:
    """Make the worker of this process, or return the one made before for the same setup."""
    return Worker(setup)

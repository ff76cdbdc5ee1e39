"""What all cells of a run share, and the job that a cell becomes where it is run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Method, Protocol, Sample
from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.specs import label, parse_spec
from rescale_bench.errors import RescaleBenchError
from rescale_bench.roundtrip.cell import Loop, cell_seed
from rescale_bench.runner.cells import NO_FILE, Cell
from rescale_bench.runs.schema import SCHEMA

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Setup:
    """What all cells of a run share, as plain values.

    plugins: paths of plugin files. metrics: version by label. keep: a folder for outputs or "".
    auto_tile: run in tiles what does not fit into the memory; share: processes that share this machine's.
    timeout: seconds a cell may take, memory_limit: bytes a process may hold; 0 for any (see guard).
    traces: put the traceback of a failure into the line, under "trace".
    beside: prepare and score images in a thread of its own, with one torch thread, while another goes through the
    halves (see Worker.stream).
    """

    plugins: tuple[str, ...]
    metrics: Mapping[str, str]
    device: str
    threads: int
    keep: str = ""
    auto_tile: bool = False
    share: int = 1
    timeout: int = 0
    memory_limit: int = 0
    traces: bool = False
    beside: bool = False

    @property
    def limited(self) -> bool:
        """Whether each cell runs alone, in a process that can be killed."""
        return bool(self.timeout or self.memory_limit)


@dataclass
class Job:
    """A cell where it is run: its texts, resolved once, and what the stages make of it.

    What cannot be resolved raises where it is first asked for, inside of a stage.
    hr, reference: from prepare_hr and reference_lr. tile: side of the tiles, 0 for the whole image.
    values: entries of metrics by label. error: "" while nothing went wrong.
    """

    cell: Cell
    registry: Registry
    hr: torch.Tensor = field(init=False)
    reference: torch.Tensor = field(init=False)
    sample: Sample = field(init=False)
    tile: int = 0
    seconds: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    traces: list[str] = field(default_factory=list)

    @cached_property
    def chosen(self) -> Chosen:
        """The method with its typed options."""
        cell = self.cell
        return self.registry.choose_method(parse_spec(cell.spec or label(cell.method, cell.options), "methods"))

    @property
    def method(self) -> Method:
        """The method."""
        method: Method = self.chosen.record
        return method

    @cached_property
    def protocol(self) -> Protocol:
        """How the cell is measured."""
        return self.registry.choose_protocol(self.cell.protocol)

    @cached_property
    def loop(self) -> Loop:
        """The file format between the halves, and what happens to the LR there."""
        codec = "png" if self.cell.codec == NO_FILE else self.cell.codec
        chosen = self.registry.choose_codec(parse_spec(codec, "codecs"))
        damages = self.registry.choose_damage(self.cell.damage) if self.cell.damage else ()
        return Loop(chosen.record, chosen.options, tuple((step.record, step.options) for step in damages))

    @cached_property
    def scale(self) -> Decimal:
        """The scale as an exact number."""
        return Decimal(self.cell.scale)

    @property
    def seed(self) -> int:
        """What random draws of the halves start from."""
        cell = self.cell
        return cell_seed(cell.seed, cell.method, cell.options, cell.image_sha256, cell.scale)

    @property
    def damage_seed(self) -> int:
        """What random draws of the damage start from: the same for all methods, whose differences then vary less."""
        cell = self.cell
        return cell_seed(cell.seed, cell.damage, cell.image_sha256, cell.scale)

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Time a stage, and turn what it raises into the job's error; a plugin that leaves takes no run with it."""
        started = time.perf_counter()
        try:
            yield
        except (Exception, SystemExit) as error:
            self.error = describe(error)
            self.traces.append(traceback.format_exc())
        finally:
            self.seconds += time.perf_counter() - started


def describe(error: BaseException) -> str:
    """Put an exception into the one line that stands in the row."""
    if isinstance(error, SystemExit):
        return f"a plugin called sys.exit({error.code})"
    if isinstance(error, RescaleBenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory; tile=auto may help"
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"


def failed_line(setup: Setup, cell: Cell, error: str, seconds: float = 0.0) -> dict[str, Any]:
    """Write the journal line of a cell that came to nothing."""
    values = {
        name: {"status": "failed", "version": version, "value": None, "error": error}
        for name, version in setup.metrics.items()
    }
    found = {"status": "failed", "error": error, "values": values, "seconds": seconds}
    return {"schema": SCHEMA, **cell.identity(), **found}

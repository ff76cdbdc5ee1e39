"""Methods built for one device: two halves, and what is found out about them once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import cached_property, partial
from typing import Generic, TypeVar

from rescale_bench.api.records import Rescaler
from rescale_bench.errors import MethodError, RescaleBenchError
from rescale_bench.machine.allocator import give_back
from rescale_bench.machine.memory import free_bytes
from rescale_bench.networks.compiling import compile_rescaler
from rescale_bench.roundtrip.halves import Halves
from rescale_bench.roundtrip.tiling import Tiled, bytes_per_pixel, fitting_core, margin_of
from rescale_bench.runner.job import Job, Setup
from rescale_bench.weights.choice import load_states

T = TypeVar("T")


class Recent(Generic[T]):
    """Keep what was used last, up to a total weight."""

    def __init__(self, limit: float, weigh: Callable[[T], float]) -> None:
        """Set the limit, in the unit of the weights; the newest item is kept whatever it weighs."""
        self.limit, self.weigh = limit, weigh
        self.items: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the item of a key, made now if it is not kept."""
        if key not in self.items:
            self.items[key] = make()
            while len(self.items) > 1 and sum(map(self.weigh, self.items.values())) > self.limit:
                self.items.popitem(last=False)
        self.items.move_to_end(key)
        return self.items[key]


class Build:
    """A method, built twice.

    warm: what was compiled already: pairs of a cell's scale and the shape of its batch.
    """

    def __init__(self, job: Job, setup: Setup) -> None:
        """Build both halves from the weights of a job, each on its own. Raises MethodError."""
        self.setup, self.compiled, self.options = setup, job.cell.compiled, job.chosen.options
        self.states = partial(load_states, job.cell.files, job.registry, job.method.traits.derived)
        self.per_pixel: dict[str, float] = {}
        self.warm: set[Hashable] = set()
        try:
            down, up = (self._half(job) for _ in range(2))
        except RescaleBenchError:
            raise
        except Exception as error:
            raise MethodError(f"{job.method.name}: build raised {type(error).__name__}: {error}") from error
        self.halves = Halves(job.method, down, up, setup.device, job.cell.dtype)

    def _half(self, job: Job) -> Rescaler:
        built = job.method.build(self.states(), self.setup.device, self.options)
        return compile_rescaler(built) if self.compiled else built

    @cached_property
    def margin(self) -> int | None:
        """LR pixels that a tile needs around it, None where tiles cannot equal the whole."""
        return margin_of(self.halves.method, self.states, self.options)

    def halves_for(self, job: Job, size: tuple[int, int], count: int = 1) -> tuple[Halves, int]:
        """Return the halves for a job's scale and the side of their tiles (LR pixels, 0: they take the whole image).

        size: of the HR images (height, width). count: images that run at once.
        Raises MethodError where the memory holds one of them at most.
        """
        core = self._core(job, size, count)
        if not core:
            return self.halves, 0
        if count > 1:
            raise MethodError("the memory does not hold them at once")
        down, up = (Tiled(half, self.margin or 0, core) for half in (self.halves.down, self.halves.up))
        return replace(self.halves, down=down, up=up), core

    def _core(self, job: Job, size: tuple[int, int], count: int) -> int:
        if job.cell.tile:
            return int(job.cell.tile)
        if not self.setup.auto_tile or self.margin is None:
            return 0
        scale, device = float(job.scale), self.setup.device
        if job.cell.scale not in self.per_pixel:
            # The downscaling instance runs both ways: the other one meets nothing but LR files.
            self.per_pixel[job.cell.scale] = bytes_per_pixel(self.halves.down, scale, device)
        give_back()  # what earlier cells freed is free
        free = free_bytes(device, self.setup.memory_limit, self.setup.share)
        return fitting_core(count * self.per_pixel[job.cell.scale], size, scale, self.margin, free)

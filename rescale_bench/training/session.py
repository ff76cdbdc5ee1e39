"""A training from flags to files: data, start, loop, weights with their provenance."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from rescale_bench.api.records import Method, State
from rescale_bench.api.registry import Registry
from rescale_bench.errors import UsageError
from rescale_bench.machine import environment
from rescale_bench.machine.device import crowding, usable_cores
from rescale_bench.training.checkpoint import check_same, load_checkpoint
from rescale_bench.training.display import Display, draw, write_csv
from rescale_bench.training.learner import Learner
from rescale_bench.training.loop import Limits, Training
from rescale_bench.training.pool import Pool, Sampler, load_pool
from rescale_bench.training.recipe import Recipe
from rescale_bench.training.validation import Validator
from rescale_bench.weights import stored as weights
from rescale_bench.weights.choice import lookup_order

FOLDER_SUFFIX = ".training"
"""Ending of the folder, beside the weights, that holds checkpoint, log and curves."""


CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}


@dataclass(frozen=True)
class TrainingJob:
    """What was asked for.

    recipe: with changes applied. data: folders of images. output: folder of the weights. tag: name of the weights.
    device: cpu, cuda, …. threads: torch's, 0 for all cores. minutes: budget of all sittings, None for none.
    clock: what they count, "wall" or "cpu": seconds of CPU time, fair beside other work.
    fit: squeeze the schedule into it. start: tag or path of the weights to start from, "" for the lookup order.
    """

    recipe: Recipe
    data: tuple[Path, ...]
    output: Path
    tag: str
    device: str = "cpu"
    threads: int = 0
    seed: int = 0
    minutes: float | None = None
    fit: bool = False
    resume: bool = False
    start: str = ""
    quiet: bool = False
    clock: str = "wall"

    @property
    def folder(self) -> Path:
        """Say where checkpoint, log and curves go."""
        return self.output / f"{self.recipe.part}{FOLDER_SUFFIX}"

    @property
    def checkpoint(self) -> Path:
        """Say where the checkpoint goes."""
        return self.folder / "checkpoint.pt"


@dataclass(frozen=True)
class Result:
    """What came out: the weights files, the last scores, and whether the schedule reached its end."""

    files: tuple[Path, ...]
    scores: Mapping[str, float]
    steps: int
    seconds: float
    finished: bool


def train(job: TrainingJob, registry: Registry) -> Result:
    """Train one recipe and write its weights; KeyboardInterrupt after a stop, with the state kept.

    Raises UsageError, StoreError, UnavailableError or WeightsError before the first step, MethodError where a
    loss is not finite.
    """
    torch.set_num_threads(job.threads or usable_cores())
    content = _checkpoint(job)
    pool = load_pool(job.data, job.recipe.patch)
    start = starting_states(job.recipe, job.start, registry)
    identity = {
        "recipe": job.recipe.json(),
        "data": pool.identity,
        "seed": str(job.seed),
        "start": json.dumps({part: state.metadata.get("sha256", "") for part, state in start.items()}),
    }
    if content is not None:
        check_same(job.checkpoint, content, identity)
    learner = job.recipe.learner(job.recipe, start, job.seed)
    limits = Limits(job.minutes * 60 if job.minutes else None, job.fit, job.checkpoint, identity, CLOCKS[job.clock])
    with Display(str(job.recipe), job.recipe.steps, job.quiet) as display:
        _remarks(job, pool, display)
        validate = validator(job, pool, registry)
        sampler = Sampler(pool, job.recipe, job.seed, torch.device(job.device))
        training = Training(job.recipe, learner, sampler, validate, limits, display)
        if content is not None:
            training.restore(content)
            display.say(f"resumed at step {training.progress.step}")
        try:
            training.run()
        finally:
            _write_log(job, training, display)
    return _finish(job, learner, training, validate(learner.states()), identity)


def _checkpoint(job: TrainingJob) -> dict[str, Any] | None:
    if job.resume:
        return load_checkpoint(job.checkpoint) if job.checkpoint.is_file() else None
    if job.checkpoint.exists():
        raise UsageError(f"{job.folder} holds a training already; resume it, or choose another folder", "output")
    return None


def _remarks(job: TrainingJob, pool: Pool, display: Display) -> None:
    for reason in pool.skipped[:3]:
        display.say(f"note: skipped {reason}")
    if len(pool.skipped) > 3:
        display.say(f"note: skipped {len(pool.skipped) - 3} more images")
    display.say(f"{len(pool.images)} images to train on, {len(pool.held_out)} held out for validation")
    if job.device == "cpu" and (busy := crowding(torch.get_num_threads())):
        display.say(f"note: {busy}; a training beside it can be ten times slower")


def starting_states(recipe: Recipe, wanted: str, registry: Registry) -> dict[str, State]:
    """Load the weights that a recipe starts from. Raises UnavailableError saying how to get them."""
    found: dict[str, State] = {}
    for part, origin in recipe.starts.items():
        owner, _, own = origin.partition("/")
        method = registry.method(owner)
        files = {file.part: file.file for file in method.weights}
        (file,) = weights.find(method.name, [own], lookup_order(method), method.shipped, wanted, files)
        tensors, metadata = weights.load(file.path)
        found[part] = State(tensors, {**metadata, "sha256": file.sha256})
    return found


def validator(job: TrainingJob, pool: Pool, registry: Registry) -> Validator:
    """Make the validation of a job."""
    recipe = job.recipe
    owner = registry.method(recipe.method)
    method: Method = registry.method(recipe.validate_as) if recipe.validate_as else owner
    codec, scales = registry.own_codec(method), recipe.validate or recipe.scales
    return Validator(method, owner, codec, pool.held_out, scales, recipe.options, job.device)


def _write_log(job: TrainingJob, training: Training, display: Display) -> None:
    rows = training.progress.rows
    write_csv(job.folder / "log.csv", rows)
    problem = draw(job.folder / "curves.png", rows, str(job.recipe)) if rows else ""
    if problem:
        display.say(f"note: {problem}")


def _finish(
    job: TrainingJob, learner: Learner, training: Training, scores: Mapping[str, float], identity: Mapping[str, str]
) -> Result:
    progress = training.progress
    facts = {
        **identity,
        "method": job.recipe.method,
        "tag": job.tag,
        "steps": str(progress.step),
        "images_seen": str(progress.step * job.recipe.batch),
        "seconds": f"{progress.seconds:.0f}",
        "clock": job.clock,
        "schedule": f"{progress.position} of {job.recipe.steps}"
        + (f", squeezed into {job.minutes:g} minutes of {job.clock} time" if job.minutes and job.fit else ""),
        "precision": "bf16 convolutions" if training.bf16 else "float32",
        **_machine(job),
        "scores": json.dumps({name: round(value, 3) for name, value in scores.items()}),
    }
    files = []
    for part, state in learner.states().items():
        path = job.output / f"{part}{weights.SUFFIX}"
        weights.save(path, state.tensors, {**facts, **state.metadata, "part": part})
        files.append(path)
    return Result(tuple(files), scores, progress.step, progress.seconds, training.finished)


def _machine(job: TrainingJob) -> dict[str, str]:
    found = environment.describe()
    cpu = f"{found['cpu']}, {torch.get_num_threads()} threads"
    hardware = f"{', '.join(found['gpus']) or job.device} ({cpu})" if job.device.startswith("cuda") else cpu
    return {"hardware": hardware, "commit": str(found["commit"]), "torch": torch.__version__}

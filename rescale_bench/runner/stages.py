"""The stages of a job: its image is prepared, goes through the halves, and is scored."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections.abc import Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Sample
from rescale_bench.api.registry import Chosen
from rescale_bench.errors import ImageError, MethodError, RescaleBenchError, UndefinedValueError
from rescale_bench.images.files import Loaded, read_image
from rescale_bench.roundtrip.cell import prepare_hr, reference_lr, round_trips
from rescale_bench.roundtrip.given import given_sample
from rescale_bench.runner.builds import Build, Recent
from rescale_bench.runner.cells import Given
from rescale_bench.runner.job import Job, Setup, failed_line
from rescale_bench.runs.outputs import Outputs
from rescale_bench.runs.schema import SCHEMA

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

IMAGE_BYTES = 256 * 2**20
KEPT_BUILDS = 2


# --- prepare -------------------------------------------------------------------


class Images:
    """Images of the last cells, decoded, cropped and with their reference LR, made once for all methods."""

    def __init__(self) -> None:
        """Begin with none."""
        self.decoded: Recent[Loaded] = Recent(IMAGE_BYTES, lambda image: image.pixels.nbytes)
        self.prepared: Recent[tuple[torch.Tensor, torch.Tensor]] = Recent(
            IMAGE_BYTES, lambda pair: sum(image.nbytes for image in pair)
        )

    def prepare(self, job: Job) -> None:
        """Give a job its HR image and reference LR. Raises ImageError, MethodError."""
        cell = job.cell

        def make() -> tuple[torch.Tensor, torch.Tensor]:
            image = self.decoded.get((cell.path, cell.image_sha256), lambda: _read(cell.path, cell.image_sha256))
            hr = prepare_hr(image.pixels, image.grey, job.protocol, job.scale, cell.crop)
            return hr, reference_lr(hr, job.protocol, job.scale)

        # The content belongs to the key: a file may be another one when this process is asked again.
        key = (cell.path, cell.image_sha256, cell.scale, cell.protocol, cell.crop)
        job.hr, job.reference = self.prepared.get(key, make)


def _read(path: str, sha256: str) -> Loaded:
    image = read_image(Path(path))
    if image.sha256 != sha256:
        raise ImageError(f"{path} changed while the run was going on; run the same command again")
    return image


def _read_given(job: Job, given: Given) -> None:
    """Give a job the sample that was made elsewhere. Raises ImageError."""
    if not given.sr:
        raise ImageError("it has no partner among the given images")
    sr = _read(given.sr, given.sr_sha256)
    lr = _read(given.lr, given.lr_sha256) if given.lr else None
    file = Path(given.lr).read_bytes() if given.lr else None
    job.sample = given_sample(job.hr, job.reference, sr, lr, file, job.scale, job.protocol)


# --- halves --------------------------------------------------------------------


class Trips:
    """The halves of the last methods, and the way through them."""

    def __init__(self, setup: Setup, metrics: Sequence[Chosen]) -> None:
        """Take the metrics: some ask for operations to be counted, some are measured where the halves run."""
        self.setup = setup
        self.builds: Recent[Build] = Recent(KEPT_BUILDS, lambda build: 1)
        self.needs = frozenset[str]().union(*(metric.record.needs for metric in metrics))
        self.there = [metric for metric in metrics if setup.device != "cpu" and metric.record.on_device]

    def run(self, jobs: Sequence[Job]) -> None:
        """Give each job its sample; those of one size go together where that holds, and else one by one."""
        groups: dict[Hashable, list[Job]] = {}
        for job in jobs:
            if given := job.cell.given:
                with job.stage():
                    _read_given(job, given)
                continue
            # By their pixels: a file's head may say another size.
            groups.setdefault(tuple(job.hr.shape), []).append(job)
        for group in groups.values():
            if len(group) == 1 or not self._at_once(group):
                for job in group:
                    with job.stage():
                        self._run([job])

    def _at_once(self, jobs: Sequence[Job]) -> bool:
        """Run jobs together; False where that fails, so that each fails, or holds, alone."""
        started = time.perf_counter()
        try:
            self._run(jobs)
        except (Exception, SystemExit) as error:
            log.debug("%s: %d images at once: %s; they go one by one", jobs[0].cell.method, len(jobs), error)
            return False
        for job in jobs:
            job.seconds += (time.perf_counter() - started) / len(jobs)
        return True

    def _run(self, jobs: Sequence[Job]) -> None:
        first, cell = jobs[0], jobs[0].cell
        build = self.builds.get(cell.build, lambda: Build(first, self.setup))
        halves, core = build.halves_for(first, (first.hr.shape[-2], first.hr.shape[-1]), len(jobs))
        trips = partial(
            round_trips,
            halves,
            [job.hr for job in jobs],
            first.scale,
            first.protocol,
            first.loop,
            first.seed,
            [job.reference for job in jobs],
            macs="macs" in self.needs,
            fresh="quiet" in self.needs,
            damage_seeds=[job.damage_seed for job in jobs],
        )
        shape = (cell.scale, core, len(jobs), *first.hr.shape)
        if cell.compiled and shape not in build.warm:
            trips()  # compiles: its seconds are not the method's
            build.warm.add(shape)
        for job, sample in zip(jobs, trips(), strict=True):
            job.sample = sample
            job.tile = core if core < max(sample.lr.shape[-2:]) else 0
            if self.there:
                # Before the next images go through the device: beside them it would count as their time.
                moved = sample.to(self.setup.device)
                job.values = {metric.label: _measured(metric, moved, job) for metric in self.there}


# --- score ---------------------------------------------------------------------


def score(job: Job, metrics: Sequence[Chosen], setup: Setup) -> dict[str, Any]:
    """Measure the metrics, keep what is to be kept, and write the journal line of a job, failed or not."""
    line: dict[str, Any] = {}
    if not job.error:
        with job.stage():
            line = {"schema": SCHEMA, **job.cell.identity(), **_scored(job, metrics, setup)}
    if job.error:
        line = failed_line(setup, job.cell, job.error)
    line["seconds"] = job.seconds
    return {**line, "trace": "\n".join(job.traces)} if setup.traces and job.traces else line


def _scored(job: Job, metrics: Sequence[Chosen], setup: Setup) -> dict[str, Any]:
    sample = job.sample
    values = {metric.label: job.values.get(metric.label) or _measured(metric, sample, job) for metric in metrics}
    if setup.keep:
        Outputs(Path(setup.keep)).keep(job.cell.cell, sample)
    lr_size = sample.lr.shape[-2:] if sample.lr.numel() else (None, None)
    errors = [entry["error"] for entry in values.values() if entry["status"] == "failed"]
    return {
        "status": "failed" if errors else "ok",
        "error": "; ".join(errors),
        "peak_mb": max(filter(None, (sample.costs.peak_mb_down, sample.costs.peak_mb_up)), default=None),
        **dict(zip(("height", "width"), sample.hr.shape[-2:], strict=True)),
        **dict(zip(("lr_height", "lr_width"), lr_size, strict=True)),
        "tiled": job.tile,
        "values": values,
    }


def _measured(metric: Chosen, sample: Sample, job: Job) -> dict[str, Any]:
    """Measure one metric; what it cannot say is undefined, what breaks is a failure of this value alone."""
    entry: dict[str, Any] = {"status": "ok", "version": metric.record.version, "value": None}
    try:
        if reason := _without_lr(job, metric.record.judges):
            raise UndefinedValueError(reason)
        value = float(metric.record.measure(sample, metric.options))
        if math.isnan(value):
            raise MethodError(f"{metric.label} returned nan")
        return {**entry, "value": value}
    except UndefinedValueError as error:
        return {**entry, "status": "undefined", "error": str(error)}
    except Exception as error:
        job.traces.append(traceback.format_exc())
        text = str(error) if isinstance(error, RescaleBenchError) else f"{type(error).__name__}: {error}"
        return {**entry, "status": "failed", "error": f"{metric.label}: {text}"}


def _without_lr(job: Job, judges: str) -> str:
    """Say why there is no LR to judge; "" where there is one, or where the metric asks for none."""
    if judges not in ("lr", "file"):
        return ""
    if job.cell.ceiling:
        return f"{job.cell.method} is a ceiling and has no LR"
    if job.cell.given is None:
        return ""
    if not job.cell.given.lr:
        return "no LR image was given"
    if judges == "lr" and job.protocol.lr_scores == "float":
        return f"protocol {job.protocol.name} scores the LR in float; the given file holds 8 bit"
    return ""

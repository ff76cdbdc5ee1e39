"""Measure the metrics of whole data sets on the pictures that a run stored."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescale_bench.api.metrics import Features, SetMetric, about
from rescale_bench.api.registry import Chosen
from rescale_bench.api.specs import method_label
from rescale_bench.errors import MethodError, UnavailableError, UndefinedValueError, UsageError
from rescale_bench.images.files import read_image
from rescale_bench.runner.job import describe
from rescale_bench.runner.plan import missing_values
from rescale_bench.runs.columns import lines_of
from rescale_bench.runs.folder import Run
from rescale_bench.runs.outputs import Outputs
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.sets import ImageSet, image_sets
from rescale_bench.runs.store import Store
from rescale_bench.runs.table import tidy

if TYPE_CHECKING:
    import numpy as np

PARTS = ("hr", "sr")
Pair = tuple["np.ndarray", "np.ndarray"]
"""Features (n, d) of the HR images and of the restored ones, row i of one image."""


@dataclass(frozen=True)
class Measured:
    """What came of measuring a kept run. skipped: sets without pictures, in words. failures: journal lines."""

    measured: int
    reused: int
    skipped: tuple[str, ...]
    failures: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class SetPlan:
    """The sets of a run: those to be measured with the labels of what they lack, the others, and those that cannot be.

    without_pictures: in words.
    """

    pending: tuple[tuple[ImageSet, tuple[str, ...]], ...]
    digests: tuple[str, ...]
    reused: int
    without_pictures: tuple[str, ...]


def measure_kept_run(run: Run, metrics: Sequence[Chosen], report: Callable[[str], None]) -> Measured:
    """Measure set metrics on the pictures that a run stored, and add the values to its rows.

    A value measured before on the same cells is kept. Each set is written to the journal once it is measured.
    Raises UsageError where the run stored no pictures, UnavailableError where weights or packages are missing,
    StoreError.
    """
    if run.folder is None or run.outputs.folder is None or not run.outputs.folder.is_dir():
        raise UsageError(f"{run.path} holds no pictures: measure them with `rescale-bench run --keep`")
    if problems := [problem for metric in metrics for problem in metric.record.problems()]:
        raise UnavailableError(problems[0])
    lines: list[dict[str, Any]] = []
    with Store(run.folder) as store:
        plan = plan_sets(store, metrics)
        if plan.without_pictures and not plan.pending and not plan.reused:
            raise UsageError(f"{run.path} holds no pictures of its cells: measure them with `rescale-bench run --keep`")
        described = {metric.label: about(metric.record, metric.label) for metric in metrics}
        store.write_about({**store.run.about, "metrics": {**store.run.metrics, **described}})
        for (one, _), line in zip(plan.pending, measure_sets(plan, metrics, run.outputs), strict=True):
            store.append(line)
            lines.append(line)
            report(f"{place(one)}: {len(one.cells)} images")
        if lines:
            store.write_table()
    failures = tuple(line for line in lines if line["status"] == "failed")
    return Measured(sum(len(line["values"]) for line in lines), plan.reused, plan.without_pictures, failures)


def plan_sets(store: Store, metrics: Sequence[Chosen], cells: Collection[str] | None = None) -> SetPlan:
    """Find what is missing. metrics: chosen SetMetrics. cells: the keys that sets are made of, None for all."""
    from pyarrow import compute

    stored = store.run.cells()
    of_sets = {line["cell"]: line for line in lines_of(stored.filter(compute.equal(stored["image"], "")))}
    rows = tidy(stored, {})
    sets = image_sets(rows if cells is None else rows[rows["cell"].isin(cells)])
    outputs = store.run.outputs
    pending, without, reused = [], [], 0
    for one in sets:
        missing = missing_values(of_sets.get(one.digest), metrics)
        reused += len(metrics) - len(missing)
        if missing and not all(outputs.files(cell, PARTS) for cell in one.cells):
            without.append(place(one))
        elif missing:
            pending.append((one, tuple(missing)))
    return SetPlan(tuple(pending), tuple(one.digest for one in sets), reused, tuple(without))


def place(one: ImageSet) -> str:
    """Name a set in words: "irn [small] ×2 on Set5"."""
    shared = one.shared
    label = method_label(shared["method"], shared["options"], shared["weights"])
    return f"{label} ×{shared['scale']} on {shared['dataset']}"


def measure_sets(plan: SetPlan, metrics: Sequence[Chosen], outputs: Outputs) -> Generator[dict[str, Any], None, None]:
    """Measure what is missing and yield one journal line for each set; what breaks is a failure of this value alone."""
    chosen = {metric.label: metric for metric in metrics}
    reader = _Reader(outputs)
    for one, labels in plan.pending:
        started = time.perf_counter()
        pairs: dict[Features, Pair] = {}
        values = {label: _measured(chosen[label].record, one, reader, pairs) for label in labels}
        errors = [entry["error"] for entry in values.values() if entry["status"] == "failed"]
        yield {
            "schema": SCHEMA, "cell": one.digest, **one.shared, "image": "", "image_sha256": "",
            "status": "failed" if errors else "ok", "error": "; ".join(errors), "values": values,
            "seconds": time.perf_counter() - started,
        }  # fmt: skip


class _Reader:
    """Features of stored pictures. The HR of an image, which is stored with each of its cells, is looked at once."""

    def __init__(self, outputs: Outputs) -> None:
        """Read from a folder of outputs."""
        self.outputs = outputs
        self.hr: dict[tuple[Features, bytes], np.ndarray] = {}

    def both(self, one: ImageSet, features: Features) -> Pair:
        """Return (n, d) features of the HR and of the restored images. Raises ImageError, UndefinedValueError."""
        import numpy as np

        hr, sr = (np.stack([self._features(cell, part, features) for cell in one.cells]) for part in PARTS)
        return hr, sr

    def _features(self, cell: str, part: str, features: Features) -> np.ndarray:
        image = read_image(self.outputs.files(cell, PARTS)[part])
        if image.grey:
            raise UndefinedValueError("its features take RGB; under this protocol images have one channel")
        if part == "sr":
            return features.compute(image.pixels)
        key = features, hashlib.sha256(repr(image.pixels.shape).encode() + image.pixels.tobytes()).digest()
        if key not in self.hr:
            self.hr[key] = features.compute(image.pixels)
        return self.hr[key]


def _measured(metric: SetMetric, one: ImageSet, reader: _Reader, pairs: dict[Features, Pair]) -> dict[str, Any]:
    """Measure one metric of one set. pairs: features of the set, shared by its metrics."""
    images = len(one.cells)
    entry: dict[str, Any] = {"status": "ok", "version": metric.version, "value": None, "note": metric.note(images)}
    try:
        if images < metric.fewest:
            raise UndefinedValueError(f"{metric.name} needs {metric.fewest} images, the set has {images}")
        if metric.features not in pairs:
            pairs[metric.features] = reader.both(one, metric.features)
        value = float(metric.distance(*pairs[metric.features]))
        if math.isnan(value):
            raise MethodError("it returned nan")
        return {**entry, "value": value}
    except UndefinedValueError as error:
        return {**entry, "status": "undefined", "error": str(error)}
    except Exception as error:
        return {**entry, "status": "failed", "error": f"{metric.name}: {describe(error)}"}

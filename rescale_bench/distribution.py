"""Measure how far the restored images of each data set are from its HR images, on the outputs that a run stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rescale_bench.api.records import SetMetric
from rescale_bench.errors import UnavailableError, UndefinedValueError, UsageError
from rescale_bench.images.files import read_image
from rescale_bench.runs.set_values import SetValue, home_of, read_set_values, write_set_values
from rescale_bench.tables.distribution import Members, members
from rescale_bench.tables.rows import prepare

if TYPE_CHECKING:
    import pandas as pd

Extract = Callable[[np.ndarray], np.ndarray]
"""uint8 (H, W, 3) → features (d,)."""


@dataclass(frozen=True)
class Measured:
    """What came of it. skipped: sets without stored pictures, each as a text. reused: values that were there."""

    values: tuple[SetValue, ...]
    measured: int
    reused: int
    skipped: tuple[str, ...]


@dataclass
class _Reader:
    """Features of stored pictures; the HR of an image, stored with each of its cells, is looked at once."""

    outputs: Path
    extract: Extract
    known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def missing(self, one: Members) -> bool:
        cells = one.images.values()
        return not all((self.outputs / f"{cell}-{kind}.png").is_file() for cell in cells for kind in ("hr", "sr"))

    def both(self, one: Members) -> tuple[np.ndarray, np.ndarray]:
        """Return (n, d) features of HR and restored images. Raises ImageError, UndefinedValueError for one channel."""
        cells = [one.images[image] for image in sorted(one.images)]
        hr, sr = (np.stack([self._features(cell, kind) for cell in cells]) for kind in ("hr", "sr"))
        return hr, sr

    def _features(self, cell: str, kind: str) -> np.ndarray:
        pixels = read_image(self.outputs / f"{cell}-{kind}.png").pixels
        key = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if kind == "sr":
            return self.extract(pixels)
        if key not in self.known:
            self.known[key] = self.extract(pixels)
        return self.known[key]


def measure_distribution(
    path: Path,
    frame: pd.DataFrame,
    metrics: Sequence[SetMetric],
    single_plane: Callable[[str], bool] = lambda protocol: False,
    report: Callable[[str], None] = lambda line: None,
) -> Measured:
    """Measure the metrics on every set of a kept run and write distribution.csv into its folder.

    path: the run. frame: its tidy rows. single_plane: tells whether a protocol works on Y alone, where there is no
    value. A value measured before on the same cells is kept; one of other cells goes. The file is written after each
    set, so that little is lost when this is stopped.
    Raises UsageError where the run stored no pictures, UnavailableError where weights or packages are missing.
    """
    home = home_of(path)
    if home is None or not (home / "outputs").is_dir():
        raise UsageError(f"{path} holds no pictures: measure them with `rescale-bench run --keep`")
    problems = [problem for metric in metrics for problem in metric.problems()]
    if problems:
        raise UnavailableError(problems[0])
    reader = _Reader(home / "outputs", metrics[0].features.extract)
    sets = members(prepare(frame))
    valid = {one.digest for one in sets}
    known = {value.key: value for value in read_set_values(path) if value.cells in valid}
    fresh, reused, skipped = 0, 0, []
    for one in sets:
        missing = [m for m in metrics if known.get((one.digest, m.name)) is None or _old(known, one, m)]
        reused += len(metrics) - len(missing)
        if missing and reader.missing(one):
            skipped.append(_place(one))
            continue
        if not missing:
            continue
        report(f"{_place(one)}: {len(one.images)} images")
        for value in _values(one, missing, reader, single_plane, metrics[0].features.about):
            known[value.key] = value
            fresh += 1
        write_set_values(home, list(known.values()))
    if skipped and not known:
        raise UsageError(f"{path} holds no pictures of its cells: measure them with `rescale-bench run --keep`")
    return Measured(tuple(known.values()), fresh, reused, tuple(skipped))


def _old(known: Mapping[tuple[str, str], SetValue], one: Members, metric: SetMetric) -> bool:
    return known[one.digest, metric.name].metric_version != metric.version


def _place(one: Members) -> str:
    return f"{one.label} ×{one.group.scale} on {one.group.dataset}"


def _values(
    one: Members, metrics: Sequence[SetMetric], reader: _Reader, single_plane: Callable[[str], bool], features: str
) -> list[SetValue]:
    group = one.group
    obstacle, sets = "", None
    if single_plane(group.protocol):
        obstacle = f"Inception takes RGB; protocol {group.protocol} restores one channel"
    elif len(one.images) < 2:
        obstacle = f"a distribution needs 2 images, the set has {len(one.images)}"
    else:
        sets = reader.both(one)
    found = []
    for metric in metrics:
        value, error = None, obstacle
        if sets is not None:
            try:
                value = metric.distance(*sets)
            except UndefinedValueError as reason:
                error = str(reason)
        found.append(
            SetValue(
                group.protocol,
                group.protocol_version,
                group.dataset,
                group.codec,
                group.scale,
                one.label,
                one.seed,
                metric.name,
                metric.version,
                metric.direction,
                metric.decimals,
                len(one.images),
                value,
                "undefined" if value is None else "ok",
                error,
                features,
                one.digest,
            )
        )
    return found

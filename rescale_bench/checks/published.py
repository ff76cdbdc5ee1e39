"""What the papers published, and how a run compares with it."""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rescale_bench.api.scales import parse_scale
from rescale_bench.api.specs import label, parse_spec
from rescale_bench.checks.naming import (
    UNSTATED,
    MeanKey,
    MethodName,
    MetricName,
    method_name,
    metric_names,
)
from rescale_bench.codecs import is_lossless
from rescale_bench.errors import UnavailableError, UsageError
from rescale_bench.machine.printable import printable
from rescale_bench.runs.table import complete

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.records import Value
    from rescale_bench.api.registry import Registry

COLUMNS = ("source", "table", "method", "scale", "dataset", "metric", "value", "parameters", "note")
DATASETS = {"Set5": ("Set5", 5), "Set14": ("Set14", 14), "BSD100": ("BSD100", 100), "Urban100": ("Urban100", 100)} | {
    "DIV2K": ("DIV2K-val", 100)
}
"""Published name → our name and the number of images that the published mean is over."""

Twin = tuple[str, str, str, str]
"""Method with options, data set without variant, scale, metric."""
Mean = tuple[MeanKey, list[float]]


@dataclass(frozen=True)
class Published:
    """One number of one paper, as it was printed.

    text: the number with its digits. tolerance: by how much a reproduction may differ, None for half the last digit.
    codec: what the LR went through ("jpeg:30"), "" for a lossless one or none.
    """

    source: str
    table: str
    method: str
    scale: str
    dataset: str
    metric: str
    text: str
    parameters: str
    note: str
    tolerance: float | None = None
    codec: str = ""

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def exponent(self) -> int:
        """Of the last digit printed: -2 in 33.66, 9 in 8.66e11."""
        exponent = Decimal(self.text).as_tuple().exponent
        return exponent if isinstance(exponent, int) else 0

    @property
    def decimals(self) -> int:
        """How many decimals were printed."""
        return max(0, -self.exponent)


@dataclass(frozen=True)
class Comparison:
    """A published number and its measured twin.

    method: ours with options and weights (the paper's name where nothing was measured). dataset: ours with its
    variant. metric: ours. measured: the mean over images, or their sum; None where the run has no twin.
    protocol: measured under. images: scored images of those the published mean is over, "5/5".
    reasons: why this is no reproduction of the published number; empty where it is one.
    obstacles: those of them that no protocol could remove.
    note: what is known of the published number. key: what the mean is of, None without a twin. expected: the protocol
    that the number was published under, or "unstated".
    """

    published: Published
    method: str
    dataset: str
    metric: str
    measured: float | None = None
    protocol: str = ""
    images: str = ""
    reasons: tuple[str, ...] = ()
    note: str = ""
    obstacles: tuple[str, ...] = ()
    key: MeanKey | None = None
    expected: str = ""

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return None if self.measured is None else self.measured - self.published.value

    @property
    def reproduction(self) -> bool:
        """Whether both numbers claim to be the same measurement."""
        return self.measured is not None and not self.reasons


def shipped_tables() -> Path:
    """Find the transcribed tables that ship: `results/published`, installed as a package of data.

    Raises UnavailableError where the installation lacks it.
    """
    spec = importlib.util.find_spec("rescale_bench_published")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError("the transcribed tables are not installed; name a folder that holds them")
    return Path(next(iter(spec.submodule_search_locations)))


def read_published(place: Path) -> list[Published]:
    """Read one .csv file, or all of a folder (`results/published` in the repository).

    Raises UsageError naming file and line for a missing file, missing columns or a value that is no number.
    """
    if place.is_file():
        return list(_read(place))
    if place.suffix == ".csv":
        raise UsageError(f"there is no file {place}")
    files = sorted(place.glob("*.csv"))
    if not files:
        raise UsageError(f"there is no .csv file in {place}")
    return [row for file in files for row in _read(file)]


def _read(file: Path) -> Iterator[Published]:
    with file.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        missing = set(COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise UsageError(f"{file} lacks the columns {', '.join(sorted(missing))}")
        for row in reader:
            try:
                float(row["value"])
                scale = parse_scale(row["scale"])
                allowed = float(row["tolerance"]) if (row.get("tolerance") or "").strip() else None
            except (TypeError, ValueError, UsageError):
                raise UsageError(f"{file}, line {reader.line_num}: value, scale or tolerance is not a number") from None
            source, table, method, _, dataset, metric, text, *rest = (
                printable((row[name] or "").strip()) for name in COLUMNS
            )
            codec = printable((row.get("codec") or "").strip())
            yield Published(source, table, method, str(scale), dataset, metric, text, rest[0], rest[1], allowed, codec)


def compare(frame: pd.DataFrame, rows: Sequence[Published], registry: Registry, all: bool = False) -> list[Comparison]:
    """Pair published numbers with the means of a run, reproductions first.

    frame: tidy rows. registry: says which codecs are lossless. all: list also numbers without a measured twin.
    Each protocol, weights tag and data-set variant that was measured is paired on its own, and says how it differs.
    """
    frame = complete(frame)
    measured = _measured(frame)
    sums = frozenset(frame.loc[frame["pool"] == "sum", "metric"])
    metrics = metric_names()
    found: list[Comparison] = []
    for row in rows:
        name = named_method(row)
        pairs = list(_pairs(row, name, metrics, measured, sums, registry))
        if not pairs and all:
            pairs = [Comparison(row, name.spec or row.method, row.dataset, row.metric)]
        found.extend(pairs)
    return sorted(found, key=_order)


def named_method(row: Published) -> MethodName:
    """Find what a published row means; a table of one's own may call methods and metrics by our names."""
    return method_name(row.source, row.table, row.method, row.scale, row.dataset) or MethodName(
        row.source, row.table, row.method, row.scale, row.dataset, row.method, UNSTATED, ""
    )


def meant_metrics(row: Published, name: MethodName, metrics: Sequence[MetricName]) -> list[MetricName]:
    """Find the metrics that a published number may be of.

    What is published under another protocol's metric is shown beside ours of the same name, not equated with it.
    """
    meant = [metric for metric in metrics if metric.measured and metric.fits(row.source, row.metric, name.protocol)]
    if any(metric.under for metric in meant):
        return [metric if metric.under else replace(metric, same=False) for metric in meant]
    return meant


def _order(one: Comparison) -> tuple[bool, bool, str, str, Decimal, str]:
    return (
        one.measured is None, not one.reproduction, one.method, one.dataset, Decimal(one.published.scale), one.metric
    )  # fmt: skip


def _pairs(
    row: Published,
    name: MethodName,
    metrics: Sequence[MetricName],
    measured: Mapping[Twin, list[Mean]],
    sums: frozenset[str],
    registry: Registry,
) -> Iterator[Comparison]:
    dataset, count = DATASETS.get(row.dataset, (row.dataset, 0))
    for metric in meant_metrics(row, name, metrics):
        for key, values in measured.get((name.spec, dataset, row.scale, metric.measured), ()):
            if row.codec and not same_file(key.codec, row.codec, registry, size=key.metric in sums):
                continue  # a number through one quality has nothing to say about another
            if name.weights and not set(key.weights.split("+")) <= name.tags:
                continue  # nor one variant's weights about another's
            variant = key.dataset.partition("@")[2]
            scored = [value for value in values if math.isfinite(value)]
            expected = metric.protocol or name.protocol
            join = math.fsum if key.metric in sums else fmean
            obstacles = tuple(_obstacles(row, name, key, metric, len(scored), count, registry))
            yield Comparison(
                row, key.label, key.dataset, key.metric, join(scored) if scored else None, key.protocol,
                f"{len(scored)}/{count or '?'}", (*_reasons(key, variant, expected, count), *obstacles),
                "; ".join(filter(None, (row.note, name.note, metric.note))), obstacles, key, expected,
            )  # fmt: skip


def _reasons(key: MeanKey, variant: str, protocol: str, count: int) -> Iterator[str]:
    """Say why a number is measured otherwise than the published one."""
    if protocol == UNSTATED:
        yield "published protocol unstated"
    elif key.protocol != protocol:
        yield f"published under {protocol}"
    # AIDN's protocol crops to 12 by itself, so its numbers on @mod12 are the same measurement.
    if variant and not (variant == "mod12" and key.protocol == "aidn"):
        yield f"data-set variant {variant}"
    if not count:
        yield "published number of images unknown"


def _obstacles(
    row: Published, name: MethodName, key: MeanKey, metric: MetricName, scored: int, count: int, registry: Registry
) -> Iterator[str]:
    """Say why something else is measured, whatever the protocol."""
    if not metric.same:
        yield "not the same metric"
    if not set(key.weights.split("+")) <= name.tags:
        yield f"weights {key.weights}, not the published ones"
    if not same_file(key.codec, row.codec, registry):
        yield f"LR through {key.codec}"
    if count and scored != count:
        yield f"{scored} of {count} images"


def same_file(codec: str, published: str, registry: Registry, size: bool = False) -> bool:
    """Tell whether the upscaler saw what the paper's saw: the LR itself, or what the published codec leaves of it.

    size: whether the file's size counts as well, in which lossless codecs differ.
    """
    found, wanted = (_codec(text, registry, size) for text in (codec, published))
    return found is not None and found == wanted


def _codec(text: str, registry: Registry, size: bool) -> tuple[str, Mapping[str, Value]] | None:
    """Name a codec with its options; lossless ones and none at all are one but for their size.

    None stands for one that is not loaded.
    """
    if text in ("", "none"):
        return "", {}
    try:
        chosen = registry.choose_codec(parse_spec(text))
    except UsageError:
        return None
    alike = is_lossless(chosen.record, chosen.options) and not size
    return ("", {}) if alike else (chosen.record.name, chosen.options)


def _measured(frame: pd.DataFrame) -> dict[Twin, list[Mean]]:
    """Collect per-image values (means over seeds) of each thing measured; failed and undefined ones are left out."""
    import numpy as np
    import pandas as pd

    # Values of whole data sets are biased by the number of images, and no paper's LR was damaged.
    ok = frame[(frame["status"] == "ok") & (frame["image"] != "") & (frame["damage"] == "")]
    ok = ok[ok["value"].notna()]
    if ok.empty:
        return {}
    keys, places = MeanKey.of(ok)
    images, _ = pd.factorize(ok["image"])
    order = np.lexsort((images, places))
    places, images, values = places[order], images[order], ok["value"].to_numpy(dtype=np.float64)[order]
    first = np.flatnonzero(np.diff(places, prepend=-1).astype(bool) | np.diff(images, prepend=-1).astype(bool))
    if len(first) < len(values):
        values = np.array([fmean(seeds.tolist()) for seeds in np.split(values, first[1:])])
    twins: dict[Twin, list[Mean]] = {}
    for key, mine in zip(keys, np.split(values, np.cumsum(np.bincount(places[first]))[:-1]), strict=True):
        twin = (label(key.method, key.options), key.dataset.partition("@")[0], key.scale, key.metric)
        twins.setdefault(twin, []).append((key, mine.tolist()))
    return twins


def merged(found: Iterable[Comparison]) -> list[tuple[Comparison, str]]:
    """Join papers that print the same number for the same thing: the comparison and "AIDN Table 1; CAR Table 1"."""
    groups: dict[tuple[object, ...], list[Comparison]] = {}
    for one in found:
        key = (
            one.method, one.dataset, one.published.scale, one.metric, one.published.text, one.protocol, one.measured,
            one.reasons, one.note,
        )  # fmt: skip
        groups.setdefault(key, []).append(one)
    return [(members[0], "; ".join(dict.fromkeys(_source(one) for one in members))) for members in groups.values()]


def _source(one: Comparison) -> str:
    return f"{one.published.source} {one.published.table}"

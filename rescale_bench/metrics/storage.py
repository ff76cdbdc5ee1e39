"""Storage: how many megabytes the files of a data set take between the halves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, Sample, Value
from rescale_bench.errors import UndefinedValueError


def storage_mb(sample: Sample, options: Mapping[str, Value]) -> float:
    """Return the size of the file between the halves in megabytes, 10^6 bytes. Undefined where there is no file."""
    del options
    if sample.file is None:
        raise UndefinedValueError("there is no file between the halves to count")
    return len(sample.file) / 1e6


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield the metric of IRN (IJCV 2022), Table 14, which adds up the images of a data set."""
    yield Metric(
        name="storage_mb",
        summary="megabytes (10^6 bytes) of all files of the data set between the halves",
        title="storage of the data set",
        unit="MB",
        direction="down",
        judges="file",
        group="bitrate",
        order=120,
        tolerance="0.1%",
        pool="sum",
        version="rescale-bench/1",
        measure=storage_mb,
    )

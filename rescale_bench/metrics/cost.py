"""What a round trip cost: seconds, peak memory, parameters, multiply-accumulates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, Sample, Value
from rescale_bench.errors import UndefinedValueError


def _metric(
    name: str,
    field: str,
    summary: str,
    unit: str,
    decimals: int,
    clock: bool = False,
    needs: tuple[str, ...] = (),
    version: int = 1,
) -> Metric:
    """Describe a metric that reads one field of the sample's costs; undefined where that is None."""
    read = attrgetter(field)

    def measure(sample: Sample, options: Mapping[str, Value]) -> float:
        del options
        value = read(sample.costs)
        if value is None:
            raise UndefinedValueError(f"{name}: not known for this method on this machine")
        return float(value)

    return Metric(
        name=name,
        summary=summary,
        direction="down",
        judges="cost",
        version=f"rescale-bench/{version}",
        measure=measure,
        unit=unit,
        decimals=decimals,
        order=900,
        group="cost",
        tolerance="0" if name == "params" else "0.1%",
        default=unit == "s",
        repeatable=not clock,
        needs=frozenset(needs),
    )


COSTS = (
    _metric("seconds_down", "seconds_down", "wall-clock time of the downscaler", "s", 3, clock=True),
    _metric("seconds_up", "seconds_up", "wall-clock time of the upscaler", "s", 3, clock=True),
    _metric("peak_mb_down", "peak_mb_down", "peak memory during downscaling, 10^6 bytes", "MB", 0, True, ("quiet",)),
    _metric("peak_mb_up", "peak_mb_up", "peak memory during upscaling, 10^6 bytes", "MB", 0, True, ("quiet",)),
    _metric("params", "parameters", "trainable numbers of the method", "", 0),
    _metric("macs_down", "macs_down", "multiply-accumulates of the downscaler", "MAC", 0, needs=("macs",), version=2),
    _metric("macs_up", "macs_up", "multiply-accumulates of the upscaler", "MAC", 0, needs=("macs",), version=2),
)


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield the cost metrics."""
    return COSTS

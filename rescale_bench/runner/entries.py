"""What a journal line says of a cell: values, sizes, failures."""

from __future__ import annotations

import math
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from rescale_bench.api.records import Method, Sample
from rescale_bench.api.registry import Chosen
from rescale_bench.errors import MethodError, RescaleBenchError, UndefinedValueError
from rescale_bench.runner.cells import Cell
from rescale_bench.runner.setup import Setup
from rescale_bench.runs.schema import SCHEMA

_NO_SIZES: Mapping[str, None] = dict.fromkeys(("height", "width", "lr_height", "lr_width", "tiled"))


def describe(error: Exception | SystemExit) -> str:
    """Put an exception into the one line that stands in the row."""
    if isinstance(error, SystemExit):
        return f"a plugin called sys.exit({error.code})"
    if isinstance(error, RescaleBenchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory; --tile auto may help"
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"


def failed_line(setup: Setup, cell: Cell, error: str, seconds: float) -> dict[str, Any]:
    """Write the journal line of a cell that no worker could finish."""
    line = failure(list(zip(setup.metrics, setup.versions, strict=True)), error)
    return {"schema": SCHEMA, **cell.identity(), **line, "seconds": seconds}


def failure(metrics: Sequence[tuple[str, str]], error: str) -> dict[str, Any]:
    """Lay out what is measured of a cell that failed; metrics: labels and versions."""
    values = {
        name: {"status": "failed", "version": version, "value": None, "error": error} for name, version in metrics
    }
    return {"status": "failed", "error": error, "peak_mb": None, **_NO_SIZES, "values": values}


def sizes(sample: Sample) -> dict[str, int]:
    """Lay out the sizes of the HR and LR."""
    height, width = sample.hr.shape[-2:]
    lr_height, lr_width = sample.lr.shape[-2:]
    return {"height": height, "width": width, "lr_height": lr_height, "lr_width": lr_width}


def measured(metric: Chosen, sample: Sample, method: Method, traces: list[str]) -> dict[str, Any]:
    """Measure one metric; what it cannot say is undefined, what breaks is a failure of this value alone."""
    try:
        if method.traits.ceiling and metric.record.judges in ("lr", "file"):
            raise UndefinedValueError(f"{method.name} is a ceiling and has no LR")
        value = float(metric.record.measure(sample, metric.options))
        if math.isnan(value):
            raise MethodError(f"{metric.label} returned nan")
    except UndefinedValueError as error:
        return _entry(metric, "undefined", error=str(error))
    except Exception as error:
        traces.append(traceback.format_exc())
        text = str(error) if isinstance(error, RescaleBenchError) else f"{type(error).__name__}: {error}"
        return _entry(metric, "failed", error=f"{metric.label}: {text}")
    return _entry(metric, "ok", value=value)


def _entry(metric: Chosen, status: str, value: float | None = None, error: str = "") -> dict[str, Any]:
    entry: dict[str, Any] = {"status": status, "version": metric.record.version, "value": value}
    return {**entry, "error": error} if error else entry

"""The direct-JPEG curves of a stored run: measured under its protocol, and kept beside it so that it is done once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Protocol
from rescale_bench.errors import RescaleBenchError, StoreError, UsageError
from rescale_bench.plots.direct import QUALITIES, DirectCurve, direct_jpeg_curve
from rescale_bench.plots.gaps import Shown, shown_panels
from rescale_bench.runs.folder import CURVES, Run
from rescale_bench.runs.originals import Original, Wanted, find_originals

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Chosen, Registry

CODE = 1
"""Raise it when the curve of the same image moves by this module's or rescale_bench.plots.direct's doing."""
CODEC = "jpeg"


@dataclass(frozen=True)
class References:
    """What was found. curves: by data set and scale. absent: data set → scales without a curve, and why."""

    curves: Mapping[tuple[str, str], DirectCurve]
    absent: Mapping[str, tuple[tuple[str, ...], str]]

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which panels have no reference curve, one line per data set."""
        return tuple(
            f"No JPEG of the HR for {dataset} at {', '.join(f'×{scale}' for scale in scales)}: {reason}."
            for dataset, (scales, reason) in self.absent.items()
        )


def reference_curves(
    frame: pd.DataFrame,
    plugins: Registry,
    run: Run,
    tell: Callable[[str], None] = lambda text: None,
    **options: Any,
) -> References:
    """Measure JPEG of the HR for every panel that rate-distortion draws with these options, or read it from the run.

    run: whose images they are; its folder keeps what was measured. tell: called with a line before a measurement.
    Raises what figure raises.
    """
    curves: dict[tuple[str, str], DirectCurve] = {}
    absent: dict[str, tuple[tuple[str, ...], str]] = {}
    kept = _Kept(run)
    for panel in shown_panels(frame, **options):
        try:
            curves[panel.dataset, panel.scale] = _curve(frame, panel, plugins, run, kept, tell)
        except RescaleBenchError as error:
            scales, reason = absent.get(panel.dataset, ((), str(error).rstrip(".")))
            absent[panel.dataset] = (*scales, panel.scale), reason
    return References(curves, absent)


def _curve(
    frame: pd.DataFrame, panel: Shown, plugins: Registry, run: Run, kept: _Kept, tell: Callable[[str], None]
) -> DirectCurve:
    protocol = plugins.choose_protocol(panel.protocol)
    if panel.version not in ("", str(protocol.version)):
        raise UsageError(f"the run has version {panel.version} of protocol {protocol.name}, here is {protocol.version}")
    metric = _metric(frame, panel.metric, plugins)
    found = find_originals(Wanted(panel.dataset, panel.images, panel.cells), plugins.datasets, run)
    key = _key(found, protocol, panel.scale, metric, plugins)
    if (stored := kept.get(key)) is not None:
        return stored
    tell(f"measuring JPEG of the HR: {panel.dataset} ×{panel.scale}, {len(found)} images, {len(QUALITIES)} qualities")
    curve = direct_jpeg_curve(
        [(one.path, one.crop) for one in found], protocol, Decimal(panel.scale), plugins.codecs[CODEC],
        lambda sample, _: metric.record.measure(sample, metric.options),
    )  # fmt: skip
    kept.put(key, curve, {"dataset": panel.dataset, "scale": panel.scale, "protocol": panel.protocol,
                          "metric": metric.label, "images": len(found)}, tell)  # fmt: skip
    return curve


def _metric(frame: pd.DataFrame, label: str, plugins: Registry) -> Chosen:
    """Choose the metric by which the run was measured. Raises UsageError where its numbers would not compare."""
    from rescale_bench.api.specs import parse_spec

    chosen = plugins.choose_metric(parse_spec(label.partition(" (")[0], "metric"), "metric")
    if chosen.record.judges != "hr":
        raise UsageError(f"{label} does not judge the HR")
    rows = frame[frame["metric"] == label]
    versions = {str(one) for one in rows["metric_version"]} - {""} if "metric_version" in rows else set()
    if versions and chosen.record.version not in versions:
        raise UsageError(f"the run has {label} of {', '.join(sorted(versions))}, here is {chosen.record.version}")
    return chosen


def _key(found: Sequence[Original], protocol: Protocol, scale: str, metric: Chosen, plugins: Registry) -> str:
    """Hash whatever can move the curve: the images' bytes first."""
    content = {
        "images": [(one.sha256, one.crop) for one in found], "protocol": dataclasses.asdict(protocol), "scale": scale,
        "metric": [metric.label, metric.record.version], "codec": [CODEC, plugins.codecs[CODEC].version],
        "qualities": QUALITIES, "code": CODE,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


class _Kept:
    """The curves that a run folder keeps; without a folder there are none."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def _all(self) -> dict[str, Any]:
        found = self.run.read(CURVES).get("curves")
        return found if isinstance(found, dict) else {}

    def get(self, key: str) -> DirectCurve | None:
        """Read a curve; None where there is none, or a damaged one."""
        try:
            entry = self._all()[key]
            points = tuple((float(rate), float(quality)) for rate, quality in entry["points"])
            born = entry["born_as"]
            return DirectCurve(points, None if born is None else int(born)) if points else None
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, key: str, curve: DirectCurve, about: Mapping[str, Any], tell: Callable[[str], None]) -> None:
        """Add a curve atomically; a folder that cannot be written is told, and costs no more than the time."""
        if self.run.folder is None:
            return
        # Read again: another report of the same run may have added its own meanwhile.
        curves = {**self._all(), key: {**about, "points": curve.points, "born_as": curve.born_as}}
        try:
            self.run.write(CURVES, {"schema": 1, "curves": curves})
        except StoreError as error:
            tell(f"{error}: the curve is not kept")

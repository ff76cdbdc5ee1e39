"""What lies between the rate-distortion curves of a run: BD-rate and BD-PSNR, with what they hide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescale_bench.bdrate import Delta, Interpolation, bd_psnr, bd_rate
from rescale_bench.errors import RescaleBenchError
from rescale_bench.plots.rate import DIRECT, RATE, Direct, Point, collect
from rescale_bench.plots.selection import Options, select, usual_scales
from rescale_bench.tables.scores import reference_of

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[str, str, str, str]
"""Data set, scale, codec family, method."""


@dataclass(frozen=True)
class BdRow:
    """One comparison: a method's curve against an anchor's, within a data set, scale and codec family.

    rate, quality: BD-rate and BD-PSNR, None where the calculation is undefined; reason: why, "" otherwise.
    """

    dataset: str
    scale: str
    codec: str
    anchor: str
    label: str
    rate: Delta | None
    quality: Delta | None
    reason: str = ""

    @property
    def remarks(self) -> str:
        """Say what the numbers hide."""
        found = list(self.rate.remarks if self.rate else ())
        if self.quality and (self.rate is None or self.rate.value is None):
            found += [f"BD-PSNR: {remark}" for remark in self.quality.remarks]
        return "; ".join([*found, *([self.reason] if self.reason else [])])


@dataclass(frozen=True)
class Shown:
    """What a rate-distortion panel is about, for whoever computes its direct curve. images: (name, file's sha256)."""

    dataset: str
    scale: str
    protocol: str
    images: tuple[tuple[str, str], ...]


def shown_panels(frame: pd.DataFrame, **options: Any) -> list[Shown]:
    """List the panels that rate-distortion draws with these options. Raises what figure raises."""
    asked = Options(**options)
    selection = select(frame, asked, (RATE,))
    metric = selection.metrics(asked.metrics)[0]
    sums: dict[tuple[str, str], str] = {}
    if "image_sha256" in frame:
        columns = (frame[name].astype(str) for name in ("dataset", "image", "image_sha256"))
        sums = {(dataset, image): text for dataset, image, text in zip(*columns, strict=True)}
    found = []
    for dataset in selection.datasets:
        for scale in usual_scales(selection, asked.scales)[0]:
            images = sorted({name for score in selection.at(metric, dataset, scale) for name in score.scorable})
            if images:
                pairs = tuple((name, sums.get((dataset, name), "")) for name in images)
                found.append(Shown(dataset, scale, selection.protocol.partition(" version ")[0], pairs))
    return found


def rate_curves(frame: pd.DataFrame, **options: Any) -> dict[Key, list[Point]]:
    """List the curves of a run: (data set, scale, codec family, method) → (bpp, quality), rising in bpp.

    options: as figure's. Raises what figure raises.
    """
    asked = Options(**options)
    selection = select(frame, asked, (RATE,))
    metric = selection.metrics(asked.metrics)[0]
    return {
        (dataset, scale, family, one.label): list(points)
        for dataset in selection.datasets
        for scale in selection.scales
        for one in collect(selection, metric, dataset, scale)
        for family, points in one.curves.items()
        if len(points) > 1
    }


def bd_rows(
    curves: Mapping[Key, Sequence[Point]],
    anchor: str,
    direct: Direct | None = None,
    interpolation: Interpolation = "akima",
) -> list[BdRow]:
    """Compare every curve with the anchor method's of the same data set, scale and codec, and with direct JPEG.

    anchor: a label, or the name of the only method that it can mean ("irn" for "irn [small]").
    """
    anchor = reference_of({label for *_, label in curves}, anchor) or anchor
    rows = []
    for (dataset, scale, family, label), points in curves.items():
        against: dict[str, Sequence[Point]] = {}
        if label != anchor and (dataset, scale, family, anchor) in curves:
            against[anchor] = curves[dataset, scale, family, anchor]
        if direct and (dataset, scale) in direct:
            against[DIRECT] = direct[dataset, scale].points
        rows += [
            _compare(BdRow(dataset, scale, family, name, label, None, None), base, points, interpolation)
            for name, base in against.items()
        ]
    return rows


def _compare(row: BdRow, base: Sequence[Point], points: Sequence[Point], interpolation: Interpolation) -> BdRow:
    from dataclasses import replace

    found: list[Delta | None] = []
    reasons: list[str] = []
    for calculate in (bd_rate, bd_psnr):
        try:
            found.append(calculate(base, points, interpolation))
        except RescaleBenchError as error:
            found.append(None)
            reasons.append(str(error))
    return replace(row, rate=found[0], quality=found[1], reason="; ".join(dict.fromkeys(reasons)))


def bd_text(rows: Sequence[BdRow], metric: str) -> str:
    """Write the comparisons as a plain table, remarks as lines below it."""
    from tabulate import tabulate

    if not rows:
        return "no two curves to compare: give several codec settings, and a reference that the run holds"
    unit = "BD-PSNR [dB]" if metric.startswith("psnr") else f"BD-{metric}"
    lines, notes = [], []
    for row in rows:
        mark = ""
        if row.remarks:
            notes.append(row.remarks)
            mark = f"({len(notes)})"
        numbers = _number(row.rate, 2), _number(row.quality, 3), f"{row.rate.overlap:.0%}" if row.rate else "–"
        lines.append((row.dataset, f"×{row.scale}", row.codec, row.label, row.anchor, *numbers, mark))
    heads = ("data set", "scale", "codec", "method", "against", "BD-rate [%]", unit, "overlap", "")
    right = ("left", "right", "left", "left", "left", "right", "right", "right", "left")
    table = tabulate(lines, headers=heads, disable_numparse=True, colalign=right)
    how = next((row.rate.interpolation for row in rows if row.rate), "")
    head = "BD-rate ↓: negative saves bits at equal quality; overlap: the shared part of both quality ranges"
    head += f"; {how} interpolation." if how else "."
    return "\n".join([table, "", head, *(f"({index}) {note}" for index, note in enumerate(notes, start=1))])


def _number(delta: Delta | None, decimals: int) -> str:
    return "–" if delta is None or delta.value is None else f"{delta.value:+.{decimals}f}"

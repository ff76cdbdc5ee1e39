"""What lies between the rate-distortion curves of a run: BD-rate and BD-PSNR, with what they hide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import RescaleBenchError
from rescale_bench.plots.filters import Options, select, usual_scales
from rescale_bench.plots.rate import DIRECT, RATE, Direct, Point, collect
from rescale_bench.statistics.bdrate import MUCH_OVERLAP, Delta, Interpolation, bd_psnr, bd_rate
from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    Row,
    Table,
    TableCell,
    TableColumn,
    method_cell,
    scale_cell,
    signed,
)
from rescale_bench.tables.rendering import plain_table
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
            found += [f"BD-PSNR: {remark}" for remark in self.quality.remarks if remark not in found]
        return "; ".join([*found, *([self.reason] if self.reason else [])])

    @property
    def lacking(self) -> str:
        """Say why a number is missing, "" where none is."""
        found = dict.fromkeys(
            remark for one in (self.rate, self.quality) if one and one.value is None for remark in one.remarks
        )
        return "; ".join([*found, *([self.reason] if self.reason else [])])

    @property
    def crossings(self) -> tuple[Sequence[float], str]:
        """Give the places where the curves cross and their unit: qualities, or rates where there is no BD-rate."""
        if self.rate and self.rate.value is not None:
            return self.rate.crossings, ""
        return (self.quality.crossings, " bpp") if self.quality else ((), "")


@dataclass(frozen=True)
class Shown:
    """What a rate-distortion panel is about, for whoever computes its direct curve.

    protocol, version: of the rows. metric: up the y axis. images: (name, file's sha256, "" where unknown).
    cells: name → the cells of that image, any of which may have kept it.
    """

    dataset: str
    scale: str
    protocol: str
    images: tuple[tuple[str, str], ...]
    version: str = ""
    metric: str = ""
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def shown_panels(frame: pd.DataFrame, **options: Any) -> list[Shown]:
    """List the panels that rate-distortion draws with these options. Raises what figure raises."""
    asked = Options(**options)
    selection = select(frame, asked, (RATE,))
    metric = selection.metrics(asked.metrics)[0]
    sums = _by_image(frame, "image_sha256")
    protocol, _, version = selection.protocol.partition(" version ")
    found = []
    for dataset in selection.datasets:
        for scale in usual_scales(selection, asked.scales)[0]:
            images = sorted({name for score in selection.at(metric, dataset, scale) for name in score.scorable})
            if not images:
                continue
            pairs = tuple((name, next(iter(sums.get((dataset, name), ())), "")) for name in images)
            here = frame[(frame["scale"].astype(str) == scale) & (frame["protocol"].astype(str) == protocol)]
            kept = {name: cells for (one, name), cells in _by_image(here, "cell").items() if one == dataset}
            found.append(Shown(dataset, scale, protocol, pairs, version, metric, kept))
    return found


def _by_image(frame: pd.DataFrame, column: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Collect what a column says of each (data set, image); empty where there is no such column."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    if column in frame:
        texts = frame[["dataset", "image", column]].dropna().astype(str).drop_duplicates()
        for dataset, image, text in texts.itertuples(index=False, name=None):
            found.setdefault((dataset, image), {})[text] = None
    return {key: tuple(texts) for key, texts in found.items()}


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


def bd_table(rows: Sequence[BdRow], metric: str) -> tuple[Table, tuple[str, ...]]:
    """Lay the comparisons out; the notes say what the columns mean, and by sign why a number is missing."""
    psnr = metric.startswith("psnr")
    columns = (
        TableColumn("data set", "text"),
        TableColumn("scale"),
        TableColumn("codec", "text"),
        TableColumn("method", "text"),
        TableColumn("against", "text"),
        TableColumn("BD-rate", direction="down", unit="%"),
        TableColumn("BD-PSNR", direction="up", unit="dB") if psnr else TableColumn(f"BD-{metric}"),
        TableColumn("overlap"),
        TableColumn("crossing at"),
    )
    reasons = list(dict.fromkeys(row.lacking for row in rows if row.lacking))
    lines = tuple(Row(tuple(_cells(row, reasons)), row.label, row.scale) for row in rows)
    how = next((row.rate.interpolation for row in rows if row.rate), "")
    notes = (
        "BD-rate ↓: negative saves bits at equal quality" + (f"; {how} interpolation." if how else "."),
        f"overlap: the shared part of both quality ranges; {INCOMPLETE} below {MUCH_OVERLAP:.0%}.",
        "crossing at: the quality at which the curves change places, so that which is better depends on where.",
        *(f"({index}) {reason}" for index, reason in enumerate(reasons, start=1)),
    )
    return Table("", columns, lines), notes


def _cells(row: BdRow, reasons: Sequence[str]) -> Iterator[TableCell]:
    sign = f"({reasons.index(row.lacking) + 1})" if row.lacking else ""
    yield from (TableCell(row.dataset), scale_cell(row.scale), TableCell(row.codec))
    yield from (method_cell(row.label), TableCell(row.anchor))
    values = [None if delta is None else delta.value for delta in (row.rate, row.quality)]
    for value, decimals in zip(values, (2, 3), strict=True):
        yield TableCell(signed(value, decimals), value, signs=sign if value is None else "")
    if row.rate is None:
        yield TableCell(MISSING)
    else:
        overlap = row.rate.overlap
        yield TableCell(f"{overlap:.0%}", overlap, signs=INCOMPLETE if overlap < MUCH_OVERLAP else "")
    places, unit = row.crossings
    nowhere = MISSING if values == [None, None] else "no"
    yield TableCell(", ".join(f"{place:.4g}{unit}" for place in places) or nowhere, places[0] if places else None)


def bd_text(rows: Sequence[BdRow], metric: str) -> str:
    """Write the comparisons as a plain table, notes as lines below it."""
    if not rows:
        return "no two curves to compare: give several codec settings, and a reference that the run holds"
    table, notes = bd_table(rows, metric)
    return "\n".join([plain_table(table), "", *notes])

"""What a table is before it is written in any format: columns, cells that keep their numbers, footnotes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from rescale_bench.statistics.paired import Direction, PairedDifference, decimals_for
from rescale_bench.tables.scores import Score, Setting, name_of

Mark = Literal["", "best", "second"]
Record = dict[str, str | int | float | bool | None]
"""One line of CSV, one object of JSON: full precision, no marks."""

NOT_NATIVE, INCOMPLETE, MISSING = "†", "‡", "–"


@dataclass(frozen=True)
class TableColumn:
    """What the cells of one column have in common."""

    name: str
    """Heading without arrow and unit: "psnr_y", "Δ vs bicubic", "images"."""
    kind: Literal["number", "difference", "text"] = "number"
    """Numbers and differences stand right, text stands left."""
    metric: str = ""
    """The metric whose values it holds, "" for other columns."""
    direction: Direction = "none"
    """Whether larger or smaller values are better."""
    unit: str = ""
    """Of its numbers."""
    decimals: int = 3
    """With which its metric is printed."""
    scale: str = ""
    """In a sweep, the scale that it is about."""
    below: str = ""
    """A second line of the heading."""
    priority: int = 1_000
    """Where not all columns fit: 0 always stays, of the others the smallest stay; equal ones from left to right."""

    @property
    def numeric(self) -> bool:
        """Whether it sorts by numbers."""
        return self.kind != "text"

    @property
    def signs(self) -> tuple[str, str]:
        """Give arrow and unit, "" for either where the heading goes without: beside the metric's column, in a sweep."""
        if self.kind != "number" or self.scale:
            return "", ""
        return {"up": "↑", "down": "↓", "none": ""}[self.direction], self.unit

    @property
    def heading(self) -> str:
        """Head the column: "psnr_y ↑ [dB]", and what stands below it."""
        arrow, unit = self.signs
        first = " ".join(part for part in (self.name, arrow, unit and f"[{unit}]") if part)
        return f"{first}\n{self.below}" if self.below else first


@dataclass(frozen=True)
class TableCell:
    """One cell."""

    text: str
    """What is printed, without mark and signs."""
    value: float | None = None
    """The number that it prints, which it sorts by; None for text and for missing values."""
    ranked: bool = False
    """Whether it takes part in best and second."""
    signs: str = ""
    """Of its footnotes."""
    mark: Mark = ""
    """Set by `marked`."""
    parts: tuple[TableCell, ...] = ()
    """Several values in one cell, printed with a slash between them."""
    tag: str = ""
    """The end of the text that a page prints smaller: weights and type of a method."""


@dataclass(frozen=True)
class Row:
    """One row of cells, as many as the table has columns."""

    cells: tuple[TableCell, ...]
    method: str = ""
    """Label of its method."""
    scale: str = ""
    """Its scale; "" where the scales are columns."""
    trained: bool = True
    """False for random weights."""
    ruled: bool = False
    """Whether a rule is drawn above it; best and second are found between two rules."""


@dataclass(frozen=True)
class Table:
    """Rows under columns."""

    title: str
    columns: tuple[TableColumn, ...]
    rows: tuple[Row, ...]

    @property
    def marked(self) -> bool:
        """Whether any cell is marked."""
        return any(cell.mark for row in self.rows for cell in row.cells)


@dataclass(frozen=True)
class Section:
    """The tables of one protocol, data set and codec. notes: footnotes, each one line."""

    setting: Setting
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()

    @property
    def marked(self) -> bool:
        """Whether any cell is marked."""
        return any(table.marked for table in self.tables)


@dataclass(frozen=True)
class Leaderboard:
    """Everything to print. records: for the machine-readable formats. scores: that the sections show."""

    sections: tuple[Section, ...]
    records: Sequence[Record]
    scores: tuple[Score, ...] = ()


class LateRecords(Sequence[Record]):
    """Records that are made when one is asked for: most tables are only looked at."""

    def __init__(self, make: Callable[[], Iterable[Record]]) -> None:
        """Take what makes them."""
        self.make = make

    @cached_property
    def _made(self) -> tuple[Record, ...]:
        return tuple(self.make())

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, index: Any) -> Any:
        return self._made[index]


def marked(table: Table) -> Table:
    """Mark the best and the second of each column of a metric, between two rules.

    Values that print alike share a mark. A single ranked value gets none, and neither do values that all print
    alike: there is nothing to be best of.
    """
    rows = [list(row.cells) for row in table.rows]
    for index, column in enumerate(table.columns):
        if column.direction == "none" or column.kind != "number":
            continue
        for block in _blocks(table.rows):
            cells = [rows[place][index] for place in block]
            names = _best_and_second(cells, column.direction)
            for place, cell in zip(block, cells, strict=True):
                if cell.ranked and cell.text in names:
                    rows[place][index] = dataclasses.replace(cell, mark=names[cell.text])
    lines = (dataclasses.replace(row, cells=tuple(cells)) for row, cells in zip(table.rows, rows, strict=True))
    return dataclasses.replace(table, rows=tuple(lines))


def _blocks(rows: Sequence[Row]) -> Iterator[range]:
    starts = [0, *(index for index, row in enumerate(rows) if row.ruled and index)]
    return (range(start, end) for start, end in zip(starts, [*starts[1:], len(rows)], strict=True))


def _best_and_second(cells: Sequence[TableCell], direction: Direction) -> dict[str, Mark]:
    ranked = {cell.text: cell.value for cell in cells if cell.ranked and cell.value is not None}
    steps = sorted(ranked, key=lambda text: ranked[text], reverse=direction == "up")
    marks: tuple[Mark, ...] = ("best", "second")
    return dict(zip(steps, marks, strict=False)) if len(steps) > 1 else {}


def method_cell(label: str, signs: str = "", remark: str = "") -> TableCell:
    """Name a method. remark: written behind its label."""
    return TableCell(label + remark, signs=signs, tag=label.removeprefix(name_of(label)) + remark)


def scale_cell(scale: str) -> TableCell:
    """Write a scale: "×2.75"."""
    return TableCell(f"×{scale}", float(scale))


def number_cell(value: float | None, decimals: int, ranked: bool = False, signs: str = "") -> TableCell:
    """Write a value with its metric's decimals."""
    return TableCell(number(value, decimals), _defined(value), ranked, signs)


def difference_cell(difference: PairedDifference | None, decimals: int) -> TableCell:
    """Write a paired difference."""
    return TableCell(paired_text(difference, decimals), difference.mean if difference else None)


def number(value: float | None, decimals: int) -> str:
    """Print a value with its metric's decimals; "–" for none, "∞", and 8.66e+11 for large counts."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if decimals == 0 and abs(value) >= 1e7:
        return f"{value:.3g}"
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text


def signed(value: float | None, decimals: int) -> str:
    """Print a difference with its sign: "+0.52"; what would round to zero keeps a digit: "+1.8e-15"."""
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "+∞" if value > 0 else "-∞"
    text = f"{value:+.{decimals}f}"
    return f"{value:+.1e}" if value and not float(text) else text


def paired_text(difference: PairedDifference | None, decimals: int) -> str:
    """Print a paired difference, "+0.52 ± 0.31", with one digit beyond the first of its half-width.

    decimals: where it has no half-width.
    """
    if difference is None:
        return MISSING
    half = difference.half_width
    digits = decimals_for(half, decimals)
    if math.isnan(half):
        return signed(difference.mean, digits) + (" (n = 1)" if difference.n == 1 else "")
    visible = float(f"{half:.{digits}f}") > 0
    mean = f"{difference.mean:+.{digits}f}" if visible else signed(difference.mean, digits)
    return f"{mean} ± {signed(half, digits).removeprefix('+')}"


def _defined(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value

"""What a leaderboard is before it is written in any format: sections, tables, cells, footnotes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rescale_bench.tables.scores import Score

if TYPE_CHECKING:
    from rescale_bench.tables.distribution import Distance

Mark = Literal["", "best", "second"]

NOT_NATIVE, INCOMPLETE, MISSING = "†", "‡", "–"


@dataclass(frozen=True)
class Cell:
    """One cell: its text, its mark, and the signs of its footnotes."""

    text: str
    mark: Mark = ""
    signs: str = ""


@dataclass(frozen=True)
class Column:
    """One column: its heading; numbers stand right."""

    title: str
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; a rule is drawn above the rows whose numbers are in `rules`."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rules: frozenset[int] = frozenset()

    @property
    def marked(self) -> bool:
        """Whether any cell is marked."""
        return any(cell.mark for row in self.rows for cell in row)


@dataclass(frozen=True)
class Section:
    """One protocol, data set and codec. notes: footnotes, each one line."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """Everything to print.

    scores: what the machine-readable formats hold. reference: of the differences. sets: values of whole data sets.
    sets_alone: nothing else was asked for.
    """

    sections: tuple[Section, ...]
    scores: tuple[Score, ...]
    reference: str
    sets: tuple[Distance, ...] = ()
    sets_alone: bool = False


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

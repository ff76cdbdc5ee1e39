"""The leaderboard laid out for a page that sorts and filters: cells with sort keys, lines with method and scale."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

from rescale_bench.tables.layout import Cell, Column, Leaderboard, Section, Table
from rescale_bench.tables.sweep import Setting, by_setting

NUMBER = re.compile(r"[×+]?(-?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|∞))")
HEADING = re.compile(r"(?P<name>.*?)(?: (?P<arrow>[↑↓]))?(?: \[(?P<unit>[^\]]*)\])?")
BETTER = {"↑": "higher is better", "↓": "lower is better", "": ""}


@dataclass(frozen=True)
class Head:
    """One column heading. first: the order a first click sorts in. scale: of a sweep's column, else ""."""

    name: str
    arrow: str
    better: str
    unit: str
    numeric: bool
    first: str
    scale: str


@dataclass(frozen=True)
class Entry:
    """One cell. tag: weights of a method, in brackets. key: what it sorts by, "" for missing values."""

    text: str
    tag: str
    mark: str
    signs: str
    key: str
    numeric: bool
    heads_row: bool


@dataclass(frozen=True)
class Line:
    """One row. scale is "" in a sweep, whose scales are columns. ruled: a line is drawn above it."""

    method: str
    scale: str
    publishable: bool
    ruled: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Grid:
    """One table."""

    title: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    marked: bool


@dataclass(frozen=True)
class Part:
    """One data set and codec under a protocol. name: without the protocol."""

    name: str
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Everything under one version of one protocol: nothing of it is ranked with another's."""

    protocol: str
    version: str
    parts: tuple[Part, ...]


def board_groups(board: Leaderboard) -> tuple[Group, ...]:
    """Lay a leaderboard out by protocol."""
    untrained = {score.label for score in board.scores if not score.trained}
    grouped: dict[tuple[str, str], list[Part]] = {}
    for setting, section in zip(by_setting(board.scores), board.sections, strict=True):
        grouped.setdefault(setting[:2], []).append(_part(setting, section, untrained))
    return tuple(Group(*key, tuple(parts)) for key, parts in grouped.items())


def _part(setting: Setting, section: Section, untrained: Set[str]) -> Part:
    _, _, dataset, codec = setting
    name = dataset if codec in ("", "none") else f"{dataset}, LR as {codec}"
    return Part(name, tuple(grid_of(table, untrained) for table in section.tables), section.notes)


def grid_of(table: Table, untrained: Set[str] = frozenset()) -> Grid:
    """Lay one table out. untrained: labels of methods with random weights."""
    titles = [column.title for column in table.columns]
    where = {name: titles.index(name) if name in titles else None for name in ("method", "scale")}
    lines = tuple(
        _line(row, table.columns, where, index in table.rules, untrained) for index, row in enumerate(table.rows)
    )
    return Grid(table.title, tuple(_head(column) for column in table.columns), lines, table.marked)


def _head(column: Column) -> Head:
    found = HEADING.fullmatch(column.title)
    name, arrow, unit = found.group("name", "arrow", "unit") if found else (column.title, None, None)
    better = BETTER[arrow or ""]
    first = "descending" if arrow == "↑" or column.title.startswith("Δ") else "ascending"
    scale = column.title[1:] if column.title.startswith("×") else ""
    return Head(name, arrow or "", better, unit or "", column.numeric, first, scale)


def _line(
    row: tuple[Cell, ...],
    columns: tuple[Column, ...],
    where: Mapping[str, int | None],
    ruled: bool,
    untrained: Set[str],
) -> Line:
    method = row[where["method"] or 0].text
    scale = row[where["scale"]].text.removeprefix("×") if where["scale"] is not None else ""
    entries = tuple(
        _entry(cell, column, index == where["method"])
        for index, (cell, column) in enumerate(zip(row, columns, strict=True))
    )
    return Line(method, scale, method.removesuffix(" (ceiling)") not in untrained, ruled, entries)


def _entry(cell: Cell, column: Column, heads_row: bool) -> Entry:
    text, bracket, tag = cell.text.partition(" [") if heads_row else (cell.text, "", "")
    key = sort_key(cell.text) if column.numeric else cell.text.casefold()
    return Entry(text, bracket + tag, cell.mark, cell.signs, key, column.numeric, heads_row)


def sort_key(text: str) -> str:
    """Take the number that a cell begins with: "×1.5" is "1.5", "+0.5 ± 0.3" is "0.5", "–" is "".

    The reference method's own difference is 0, and so is that of the best to itself.
    """
    if text in ("reference", "best"):
        return "0"
    found = NUMBER.match(text)
    return found[1].replace("∞", "Infinity") if found else ""

"""Make a table fit a terminal: names shortened, columns left out by priority, sweeps cut into several tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from rescale_bench.errors import UnknownNameError
from rescale_bench.tables.model import Leaderboard, Table, TableCell, TableColumn

LEAST_NAME = 16
"""Characters of a method's name that are left where it is shortened; it may take a quarter of the width."""
Measure = Callable[[Table], Sequence[int]]
"""Table → printed width of each column, with the gap behind it."""


def fit(table: Table, width: int, measure: Measure) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Fit a table into a width as far as its leading columns do, and name the columns left out."""
    if sum(measure(table)) <= width:
        return (table,), ()
    table = _shortened(table, max(LEAST_NAME, width // 4))
    sizes = measure(table)
    if sum(sizes) <= width:
        return (table,), ()
    if any(column.scale for column in table.columns):
        return tuple(kept_columns(table, places) for places in _chunks(table, sizes, width)), ()
    kept = [place for place, column in enumerate(table.columns) if not column.priority]
    left = width - sum(sizes[place] for place in kept)
    others = (place for place, column in enumerate(table.columns) if column.priority)
    for place in sorted(others, key=lambda place: table.columns[place].priority):
        if sizes[place] > left:
            break  # a less important column does not take the place of a more important one
        kept.append(place)
        left -= sizes[place]
    hidden = (column.name for place, column in enumerate(table.columns) if place not in kept)
    return (kept_columns(table, sorted(kept)),), tuple(dict.fromkeys(hidden))


def _chunks(table: Table, sizes: Sequence[int], width: int) -> list[list[int]]:
    """Cut the columns of a sweep into groups that fit, each with the leading columns."""
    lead = [place for place, column in enumerate(table.columns) if not column.scale]
    used = sum(sizes[place] for place in lead)
    chunks: list[list[int]] = []
    room = 0
    for place, column in enumerate(table.columns):
        if not column.scale:
            continue
        if not chunks or sizes[place] > room:
            chunks.append(list(lead))
            room = width - used
        chunks[-1].append(place)
        room -= sizes[place]
    return chunks


def kept_columns(table: Table, places: Sequence[int]) -> Table:
    """Keep some columns of a table, in that order."""
    rows = (dataclasses.replace(row, cells=tuple(row.cells[place] for place in places)) for row in table.rows)
    return dataclasses.replace(table, columns=tuple(table.columns[place] for place in places), rows=tuple(rows))


def _shortened(table: Table, most: int) -> Table:
    """Shorten the names of methods in the middle, unless two of them would then look alike."""
    places = {place for place, column in enumerate(table.columns) if column.name == "method"}
    names = {row.cells[place].text for row in table.rows for place in places}
    short = {name: _middle(name, most) for name in names}
    if len(set(short.values())) < len(names):
        return table

    def cut(place: int, cell: TableCell) -> TableCell:
        return dataclasses.replace(cell, text=short[cell.text], tag="") if place in places else cell

    rows = (
        dataclasses.replace(row, cells=tuple(cut(place, cell) for place, cell in enumerate(row.cells)))
        for row in table.rows
    )
    return dataclasses.replace(table, rows=tuple(rows))


def _middle(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[head + 1 - most :]}"


def choose_columns(board: Leaderboard, wanted: Sequence[str]) -> Leaderboard:
    """Keep the leading columns and those named: by metric ("psnr_y"), or "images", "delta", "pooled", "p", ….

    Raises UnknownNameError for a name that no table has.
    """
    tables = [table for section in board.sections for table in section.tables]
    names = {name for table in tables for column in table.columns if column.priority for name in _names(column)}
    for name in wanted:
        if name not in names:
            raise UnknownNameError("column", name, names)
    sections = (
        dataclasses.replace(section, tables=tuple(_chosen(table, wanted) for table in section.tables))
        for section in board.sections
    )
    return dataclasses.replace(board, sections=tuple(sections))


def _chosen(table: Table, wanted: Sequence[str]) -> Table:
    kept = [
        place
        for place, column in enumerate(table.columns)
        if not column.priority or column.scale or not _names(column).isdisjoint(wanted)
    ]
    return kept_columns(table, kept)


def _names(column: TableColumn) -> set[str]:
    """Give the names that a column goes by on the command line."""
    return {"delta"} if column.kind == "difference" else {column.name, column.name.partition(":")[0]}

"""How pages are written: templates in which everything is escaped, style sheets and scripts."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from rescale_bench.machine.printable import printable

if TYPE_CHECKING:
    from jinja2 import Environment

    from rescale_bench.tables.model import TableCell, TableColumn


def templates() -> Environment:
    """Make the environment of the templates. Every name of a method, image or folder is somebody else's text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("rescale_bench.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"sort_value": sort_value, "first_order": first_order}
    return made


def asset(name: str) -> str:
    """Read a file of assets/."""
    return (files("rescale_bench.report") / "assets" / name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """Join files of assets/ into one script whose names stay inside of it."""
    return "\n".join(['(() => {\n"use strict";', *map(asset, names), "})();\n"])


def sort_value(cell: TableCell, column: TableColumn) -> str:
    """Write what a cell sorts by: its number as JavaScript reads it ("" without one), or its text."""
    if not column.numeric:
        return cell.text.casefold()
    return "" if cell.value is None else repr(float(cell.value)).replace("inf", "Infinity")


def first_order(column: TableColumn) -> str:
    """Say how the first click sorts: best first, differences without a better end from large to small."""
    falling = column.direction == "up" or (column.kind == "difference" and column.direction == "none")
    return "descending" if falling else "ascending"


def _shown(value: object) -> object:
    """Make text printable; markup is ours and stays as it is."""
    return printable(value, keep="\n\t\u00a0\u202f") if type(value) is str else value

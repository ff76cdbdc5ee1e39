"""Write tables as text: plain, Markdown, LaTeX, HTML, CSV, JSON."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rescale_bench.errors import UnknownNameError
from rescale_bench.machine.memory import few_collections
from rescale_bench.machine.printable import encodable
from rescale_bench.tables import latex
from rescale_bench.tables.fitting import fit
from rescale_bench.tables.model import Leaderboard, Section, Table, TableCell, TableColumn

FORMATS = ("plain", "markdown", "latex", "html", "csv", "json")
PLAIN = {"": "", "best": "*", "second": "_"}
GAP = 2
"""Spaces between two columns of plain text."""


@dataclass(frozen=True)
class Screen:
    """What plain text is written for; as it stands, a file or a pipe, which gets everything."""

    width: int = 0
    """Characters of a line that a terminal shows, 0 for any number."""
    encoding: str = "utf-8"
    """Signs that it lacks are written in plain letters."""
    hint: str = ""
    """How the user sees the columns that did not fit."""


FILE = Screen()


@few_collections()
def render(board: Leaderboard, form: str = "plain", screen: Screen = FILE) -> str:
    """Write a leaderboard in one of FORMATS, without a final line break. Raises UnknownNameError.

    screen: of the format "plain".
    """
    sections: dict[str, Callable[[Section], str]] = {
        "plain": lambda section: plain_section(section, screen),
        "markdown": markdown_section,
        "latex": latex.section,
        "html": html_section,
    }
    if form in sections:
        return "\n\n".join(map(sections[form], board.sections))
    return render_records(board.records, form)


def render_records(records: Sequence[Mapping[str, Any]], form: str) -> str:
    """Write records as "csv" (missing values empty) or "json" (null; infinite ones text). Raises UnknownNameError."""
    if form not in ("csv", "json"):
        raise UnknownNameError("format", form, FORMATS)
    plain = [{name: json_value(value) for name, value in record.items()} for record in records]
    if form == "json":
        return json.dumps(plain, indent=1, ensure_ascii=False)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(plain[0]) if plain else ["method"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
    return stream.getvalue().rstrip("\n")


def json_value(value: Any) -> Any:
    """Replace the numbers that JSON lacks: None for NaN, "inf" and "-inf"."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _tabulated(
    table: Table, form: str, write: Callable[[TableCell, TableColumn], str], head: Callable[[str], str]
) -> str:
    from tabulate import tabulate

    return tabulate(
        [[write(*both) for both in zip(row.cells, table.columns, strict=True)] for row in table.rows],
        headers=[head(column.heading) for column in table.columns],
        tablefmt=form,
        disable_numparse=True,
        colalign=["right" if column.numeric else "left" for column in table.columns],
    )


def plain_section(section: Section, screen: Screen = FILE) -> str:
    """Write one section for a terminal."""
    blocks = [section.setting.title]
    for table in section.tables:
        text = plain_table(table, screen, stacked=True)
        blocks.append(f"{table.title}\n{text}" if table.title else text)
    notes = [*["* best, _ second"] * section.marked, *section.notes]
    text = "\n\n".join(blocks) + ("\n\n" + "\n".join(notes) if notes else "")
    return encodable(text, screen.encoding)


def plain_table(table: Table, screen: Screen = FILE, stacked: bool = False) -> str:
    """Write one table for a terminal; marks and signs stand before the numbers, so that decimals align.

    stacked: break headings into lines, "psnr_y ↑" over "[dB]", so that many columns fit.
    """

    def head(text: str) -> str:
        return encodable(_stacked(text) if stacked else text, screen.encoding)

    def write(cell: TableCell, column: TableColumn) -> str:
        return encodable(_plain_cell(cell, column), screen.encoding)

    def measure(table: Table) -> list[int]:
        printed = _tabulated(table, "simple", write, head)
        ruler = next(line for line in printed.splitlines() if line.startswith("---"))
        return [len(dashes) + GAP for dashes in ruler.split()]

    tables, hidden = fit(table, screen.width + GAP, measure) if screen.width else ((table,), ())
    text = "\n\n".join(_tabulated(each, "simple", write, head) for each in tables)
    return f"{text}\nNot shown: {', '.join(hidden)}. {screen.hint}".rstrip() if hidden else text


def _stacked(heading: str) -> str:
    return re.sub(r" (?=\[|vs |\()", "\n", heading)


def _plain_cell(cell: TableCell, column: TableColumn) -> str:
    if cell.parts:  # a space in the place of a mark, so that the numbers before the slash align too
        first, *more = (f"{part.signs}{PLAIN[part.mark]:1}{part.text}" for part in cell.parts)
        return " /".join([first.lstrip(), *more])
    return f"{cell.signs}{PLAIN[cell.mark]}{cell.text}" if column.numeric else f"{cell.text} {cell.signs}".rstrip()


def markdown_section(section: Section, level: int = 3) -> str:
    """Write one section as GitHub Markdown."""
    blocks = [f"{'#' * level} {escape_markdown(section.setting.title)}"]
    for table in section.tables:
        if table.title:
            blocks.append(f"**{escape_markdown(table.title)}**")
        blocks.append(markdown_table(table))
    notes = [*["**best**, <u>second</u>."] * section.marked, *map(escape_markdown, section.notes)]
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(blocks)


def markdown_table(table: Table) -> str:
    """Write one table as GitHub Markdown: best bold, second underlined."""
    return _tabulated(table, "pipe", _markdown_cell, escape_markdown)


def _markdown_cell(cell: TableCell, column: TableColumn) -> str:
    if cell.parts:
        return " / ".join(_markdown_cell(part, column) for part in cell.parts)
    text = escape_markdown(cell.text)
    text = {"": text, "best": f"**{text}**", "second": f"<u>{text}</u>"}[cell.mark]
    return f"{text} {cell.signs}" if cell.signs else text


def escape_markdown(text: str) -> str:
    """Make text literal in GitHub Markdown, also inside a table; underscores within words need nothing."""
    text = re.sub(r"[\\`*|<>&~$]", lambda match: "\\" + match[0], text.replace("\n", " "))
    text = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)
    return text.replace("](", "]\\(")


def html_section(section: Section) -> str:
    """Write one section as an HTML fragment; all text is escaped."""
    blocks = ["<section>", f"<h3>{html.escape(section.setting.title)}</h3>"]
    for table in section.tables:
        if table.title:
            blocks.append(f"<h4>{html.escape(table.title)}</h4>")
        blocks.append(_html_table(table))
    notes = [*["<strong>best</strong>, <u>second</u>"] * section.marked, *map(html.escape, section.notes)]
    if notes:
        blocks.append("<ul>\n" + "\n".join(f"<li>{note}</li>" for note in notes) + "\n</ul>")
    return "\n".join([*blocks, "</section>"])


def _html_table(table: Table) -> str:
    style = [' style="text-align: right;"' if column.numeric else "" for column in table.columns]

    def line(tag: str, texts: Sequence[str]) -> str:
        cells = (f"<{tag}{each}>{text}</{tag}>" for each, text in zip(style, texts, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    head = line("th", [html.escape(column.heading).replace("\n", "<br>") for column in table.columns])
    body = (line("td", [_html_cell(cell) for cell in row.cells]) for row in table.rows)
    return "\n".join(["<table>", "<thead>", head, "</thead>", "<tbody>", *body, "</tbody>", "</table>"])


def _html_cell(cell: TableCell) -> str:
    if cell.parts:
        return " / ".join(map(_html_cell, cell.parts))
    text = html.escape(cell.text)
    text = {"": text, "best": f"<strong>{text}</strong>", "second": f"<u>{text}</u>"}[cell.mark]
    return f"{text}<sup>{cell.signs}</sup>" if cell.signs else text

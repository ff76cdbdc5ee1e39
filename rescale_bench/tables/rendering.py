"""Write a leaderboard as text: plain, Markdown, LaTeX, HTML, CSV, JSON."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence

from rescale_bench.errors import UnknownNameError
from rescale_bench.tables import latex, records
from rescale_bench.tables.layout import Cell, Leaderboard, Section, Table

FORMATS = ("plain", "markdown", "latex", "html", "csv", "json")
PLAIN = {"": "", "best": "*", "second": "_"}


def render(board: Leaderboard, form: str = "plain") -> str:
    """Write a leaderboard in one of FORMATS, without a final line break. Raises UnknownNameError."""
    writers: dict[str, Callable[[Leaderboard], str]] = {
        "plain": lambda found: _join(found.sections, plain_section),
        "markdown": lambda found: _join(found.sections, markdown_section),
        "latex": lambda found: _join(found.sections, latex.section),
        "html": lambda found: _join(found.sections, html_section),
        "csv": records.to_csv,
        "json": records.to_json,
    }
    if form not in writers:
        raise UnknownNameError("format", form, FORMATS)
    return writers[form](board)


def _join(sections: Sequence[Section], write: Callable[[Section], str]) -> str:
    return "\n\n".join(write(section) for section in sections)


def _tabulated(table: Table, form: str, write: Callable[[Cell, bool], str], head: Callable[[str], str]) -> str:
    from tabulate import tabulate

    numeric = [column.numeric for column in table.columns]
    return tabulate(
        [[write(*both) for both in zip(row, numeric, strict=True)] for row in table.rows],
        headers=[head(column.title) for column in table.columns],
        tablefmt=form,
        disable_numparse=True,
        colalign=["right" if one else "left" for one in numeric],
    )


def plain_section(section: Section) -> str:
    """Write one section for a terminal; marks and signs stand before the numbers, so that decimals align."""
    blocks = [section.title]
    for table in section.tables:
        text = _tabulated(table, "simple", _plain_cell, _stacked)
        blocks.append(f"{table.title}\n{text}" if table.title else text)
    legend = ["* best, _ second"] if any(table.marked for table in section.tables) else []
    notes = [*legend, *section.notes]
    return "\n\n".join(blocks) + ("\n\n" + "\n".join(notes) if notes else "")


def _stacked(title: str) -> str:
    """Stack a head into lines, "psnr_y ↑" over "[dB]", so that a leaderboard fits a terminal."""
    return re.sub(r" (?=\[|vs |\()", "\n", title)


def _plain_cell(cell: Cell, numeric: bool) -> str:
    return f"{cell.signs}{PLAIN[cell.mark]}{cell.text}" if numeric else f"{cell.text} {cell.signs}".rstrip()


def markdown_section(section: Section, level: int = 3) -> str:
    """Write one section as GitHub Markdown: best bold, second underlined."""
    blocks = [f"{'#' * level} {escape_markdown(section.title)}"]
    for table in section.tables:
        if table.title:
            blocks.append(f"**{escape_markdown(table.title)}**")
        blocks.append(_tabulated(table, "pipe", _markdown_cell, escape_markdown))
    notes = ["**best**, <u>second</u>."] if any(table.marked for table in section.tables) else []
    notes += [escape_markdown(note) for note in section.notes]
    if notes:
        blocks.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(blocks)


def _markdown_cell(cell: Cell, numeric: bool) -> str:
    del numeric
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
    blocks = ["<section>", f"<h3>{html.escape(section.title)}</h3>"]
    for table in section.tables:
        if table.title:
            blocks.append(f"<h4>{html.escape(table.title)}</h4>")
        text = _tabulated(table, "unsafehtml", _html_cell, html.escape)
        blocks.append(re.sub(r"(?<=>) +| +(?=</t[dh]>)", "", text))
    notes = ["<strong>best</strong>, <u>second</u>"] if any(table.marked for table in section.tables) else []
    notes += [html.escape(note) for note in section.notes]
    if notes:
        blocks.append("<ul>\n" + "\n".join(f"<li>{note}</li>" for note in notes) + "\n</ul>")
    return "\n".join([*blocks, "</section>"])


def _html_cell(cell: Cell, numeric: bool) -> str:
    del numeric
    text = html.escape(cell.text)
    text = {"": text, "best": f"<strong>{text}</strong>", "second": f"<u>{text}</u>"}[cell.mark]
    return f"{text}<sup>{cell.signs}</sup>" if cell.signs else text

"""Write a section as LaTeX, ready to paste; the document needs the package booktabs and nothing else."""

from __future__ import annotations

from itertools import zip_longest

from rescale_bench.tables.model import Section, Table, TableCell

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": "$|$", '"': "''",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "Δ": r"$\Delta$", "±": r"$\pm$", "×": r"$\times$",
    "∞": r"$\infty$", "Σ": r"$\Sigma$", "†": r"$\dagger$", "‡": r"$\ddagger$", "–": "--", "·": r"$\cdot$", "\n": " ",
}  # fmt: skip
SIGNS = {"†": r"\dagger", "‡": r"\ddagger"}


def escape(text: str) -> str:
    """Make text literal in LaTeX; the signs that the tables use become commands."""
    return "".join(SPECIAL.get(character, character) for character in text)


def section(found: Section) -> str:
    """Write each table of a section as a float; the footnotes stand under the last one."""
    floats = []
    for index, table in enumerate(found.tables):
        caption = f"{found.setting.title}: {table.title}" if table.title else found.setting.title
        last = index == len(found.tables) - 1
        floats.append(_float(table, caption, found.notes if last else ()))
    return "\n\n".join(floats)


def _float(table: Table, caption: str, notes: tuple[str, ...]) -> str:
    paper = any(column.below for column in table.columns)
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        *[r"\footnotesize"] * paper,
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *_head([column.heading.split("\n") for column in table.columns]),
        r"\midrule",
    ]
    for row in table.rows:
        if row.ruled:
            lines.append(r"\midrule")
        lines.append(_line([cell_text(cell) for cell in row.cells]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.marked or notes:
        legend = [r"\textbf{best}, \underline{second}."] if table.marked else []
        # As papers do, a table with data sets side by side has its notes as one paragraph.
        text = ("\n" if paper else " \\\\\n").join([*legend, *(_opened(escape(note)) for note in notes)])
        lines.append(f"\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{text}\n\\end{{minipage}}")
    return "\n".join([*lines, r"\end{table}"])


def _head(headings: list[list[str]]) -> list[str]:
    return [_line([escape(text) for text in line]) for line in zip_longest(*headings, fillvalue="")]


def _line(cells: list[str]) -> str:
    return _opened(" & ".join(cells)) + r" \\"


def _opened(line: str) -> str:
    """Keep a "[" that opens a line from being read as the optional argument of the line break before it."""
    return "{}" + line if line.startswith(("[", "*")) else line


def cell_text(cell: TableCell) -> str:
    """Write one cell: best bold, second underlined, signs raised, a minus sign that is one."""
    if cell.parts:
        return " / ".join(map(cell_text, cell.parts))
    text = escape(cell.text)
    if text.startswith("-") and not text.startswith("--"):
        text = "$-$" + text[1:]
    text = {"": text, "best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}[cell.mark]
    return text + (f"$^{{{''.join(SIGNS.get(sign, sign) for sign in cell.signs)}}}$" if cell.signs else "")

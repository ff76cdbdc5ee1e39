"""Write a section as LaTeX, ready to paste; the document needs the package booktabs and nothing else."""

from __future__ import annotations

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
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([escape(column.heading) for column in table.columns]),
        r"\midrule",
    ]
    for row in table.rows:
        if row.ruled:
            lines.append(r"\midrule")
        lines.append(_line([cell_text(cell) for cell in row.cells]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.marked or notes:
        legend = [r"\textbf{best}, \underline{second}."] if table.marked else []
        text = " \\\\\n".join([*legend, *(escape(note) for note in notes)])
        lines.append(f"\\par\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\\footnotesize\n{text}\n\\end{{minipage}}")
    return "\n".join([*lines, r"\end{table}"])


def _line(cells: list[str]) -> str:
    # A "[" that opens a row would be read as the optional argument of the line break before it.
    first = "{}" if cells[0].startswith(("[", "*")) else ""
    return first + " & ".join(cells) + r" \\"


def cell_text(cell: TableCell) -> str:
    """Write one cell: best bold, second underlined, signs raised, a minus sign that is one."""
    text = escape(cell.text)
    if text.startswith("-") and not text.startswith("--"):
        text = "$-$" + text[1:]
    text = {"": text, "best": rf"\textbf{{{text}}}", "second": rf"\underline{{{text}}}"}[cell.mark]
    return text + (f"$^{{{''.join(SIGNS.get(sign, sign) for sign in cell.signs)}}}$" if cell.signs else "")

"""How text reaches a stream: signs that it lacks in plain letters, lines no wider than the terminal."""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from rescale_bench.machine.printable import encodable

if TYPE_CHECKING:
    from rescale_bench.tables.rendering import Screen

HANDLER = "rescale_bench.plain"
OTHER = "`rescale-bench table --wide` shows them."
"""Of verbs that print a table beside what they are for."""


@contextlib.contextmanager
def plain_where_needed() -> Iterator[None]:
    """Let stdout and stderr write in plain letters what they cannot encode, as long as a command runs."""
    codecs.register_error(HANDLER, _replaced)
    streams = [(each, each.errors) for each in (sys.stdout, sys.stderr) if isinstance(each, io.TextIOWrapper)]
    for stream, _ in streams:
        stream.reconfigure(errors=HANDLER)
    try:
        yield
    finally:
        for stream, errors in streams:
            with contextlib.suppress(OSError, ValueError):  # a pipe that closed
                stream.reconfigure(errors=errors)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return encodable(error.object[error.start : error.end], error.encoding), error.end


def terminal_width(stream: TextIO) -> int:
    """Give the characters of a line of a terminal, 0 for a file or a pipe."""
    return shutil.get_terminal_size().columns if stream.isatty() else 0


def add_wide(parser: argparse.ArgumentParser) -> None:
    """Add --wide."""
    parser.add_argument("--wide", action="store_true", help="all columns, also where the terminal is too narrow")


def screen(wide: bool = False, hint: str = "`--wide` shows them.") -> Screen:
    """Describe stdout for a table. hint: how its user sees the columns that do not fit."""
    from rescale_bench.tables.rendering import Screen

    return Screen(0 if wide else terminal_width(sys.stdout), sys.stdout.encoding or "utf-8", hint)


def show(text: str, form: str = "plain", wide: bool = False, hang: int = 2) -> None:
    """Print on stdout. form: "plain", folded in a terminal, or what may not be folded: "json", "html", "csv", ….

    wide: not folded either. hang: by how much further lines are indented.
    """
    encoding = sys.stdout.encoding or "utf-8"
    if form == "plain":
        text = encodable(text, encoding)
        text = text if wide else folded(text, terminal_width(sys.stdout), hang)
    elif form == "json" and encodable(text, encoding) != text:
        text = "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in text)
    elif form in ("html", "markdown"):
        text = text.encode(encoding, "xmlcharrefreplace").decode(encoding)
    print(text, flush=True)


def folded(text: str, width: int, hang: int = 2) -> str:
    """Fold lines longer than a width (0: none) between words; a longer word, such as a path, stays whole."""
    if not width:
        return text
    return "\n".join(_folded(line, width, hang) if len(line) > width else line for line in text.split("\n"))


def _folded(line: str, width: int, hang: int) -> str:
    words = line.lstrip()
    lead = line[: len(line) - len(words)]
    lines = textwrap.wrap(
        words, width, initial_indent=lead, subsequent_indent=lead + " " * hang,
        break_long_words=False, break_on_hyphens=False, replace_whitespace=False,
    )  # fmt: skip
    return "\n".join(lines)

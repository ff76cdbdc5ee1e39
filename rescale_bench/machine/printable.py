r"""Text from files and other people's runs, made harmless before anybody reads it.

A file may be called "\x1b[2J" (clears the terminal), "a\n::error::" (a command to GitHub Actions) or hold U+202E
(turns the rest of the line around). What is not printable is shown as its escape instead.
"""

from __future__ import annotations

import os


def printable(text: str, keep: str = "") -> str:
    r"""Write every character that is not printable as its Python escape ("\x1b"), apart from those in keep.

    Control characters, line breaks, bidirectional and other format characters (Unicode categories C and Z, the
    plain space apart) are not printable.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def plural(number: int, noun: str) -> str:
    """Write a number with its noun: "1 cell", "2 cells"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def file_name(name: str) -> str:
    r"""Make the name of a file printable, two different names never alike.

    Bytes that are no UTF-8 come out as "\xff"; a backslash that was there before is therefore doubled.
    """
    text = os.fsencode(name.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    return printable(text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


PLAIN = {
    "×": "x", "±": "+-", "↑": "up", "↓": "down", "Δ": "diff", "∞": "inf", "Σ": "sum", "σ": "sigma", "–": "-", "−": "-",
    "—": "-", "·": "-", "…": "...", "→": "->", "≠": "!=", "≥": ">=", "≤": "<=", "†": "^", "‡": "#", "²": "2", "³": "3",
    "’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " ", "\u202f": " ",
}  # fmt: skip
"""What stands for our signs where a stream cannot encode them (ASCII, cp1252 on a redirected Windows console)."""


def encodable(text: str, encoding: str) -> str:
    r"""Write text with the characters that an encoding has: "×2" as "x2" in ASCII, "é" as "\xe9"."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable(character, encoding) for character in text)
    return text


def _encodable(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode()
    return character

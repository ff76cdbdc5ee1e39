"""The page `results/leaderboard.md`: the leaderboard, and how it came about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rescale_bench.errors import UsageError
from rescale_bench.machine.printable import printable
from rescale_bench.tables.layout import Leaderboard
from rescale_bench.tables.leaderboard import leaderboard
from rescale_bench.tables.rendering import escape_markdown, render

if TYPE_CHECKING:
    import pandas as pd


def leaderboard_page(board: Leaderboard, command: str = "") -> str:
    """Write a leaderboard as a Markdown page with a head that names protocols, data sets and commands.

    The page holds no date and no machine, so that making it again from the same rows gives the same bytes.
    """
    groups = [score.group for score in board.scores]
    plain = {group.protocol: group.protocol.replace("`", "'") for group in groups}  # a backtick would end the code
    protocols = dict.fromkeys(f"`{plain[group.protocol]}` (version {group.protocol_version})" for group in groups)
    images: dict[str, int] = {}
    for score in board.scores:
        images[score.group.dataset] = max(images.get(score.group.dataset, 0), score.images)
    sets = ", ".join(f"{escape_markdown(name)} ({count} images)" for name, count in images.items())
    lines = [
        "# Leaderboard",
        "",
        "Generated from stored rows; do not edit. Scores of two protocols are never averaged or ranked together.",
        "",
        f"- Protocols: {', '.join(protocols)}",
        f"- Data sets: {sets}",
    ]
    if command.strip():
        lines += ["- Made by:", "", *(f"      {printable(line)}" for line in command.strip().splitlines())]
    return "\n".join([*lines, "", render(board, "markdown")]) + "\n"


def write_leaderboard(frame: pd.DataFrame, path: Path, command: str = "", reference: str = "bicubic") -> None:
    """Write the page of a run's tidy rows. Raises UsageError when the file cannot be written."""
    text = leaderboard_page(leaderboard(frame, reference=reference), command)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {(error.strerror or str(error)).lower()}") from None

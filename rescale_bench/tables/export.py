"""The page that `export` writes for people: `results/leaderboard.md`."""

from __future__ import annotations

from rescale_bench.machine.printable import printable
from rescale_bench.tables.model import Leaderboard
from rescale_bench.tables.rendering import escape_markdown, render


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

"""What `export` writes: the page `results/leaderboard.md`, and tidy rows as parquet, CSV, JSON.

Equal rows give equal bytes, parquet apart.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescale_bench.machine.printable import printable
from rescale_bench.tables.model import Leaderboard
from rescale_bench.tables.rendering import escape_markdown, json_value, render

if TYPE_CHECKING:
    import pandas as pd

TidyFormat = Literal["parquet", "csv", "json"]


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


def write_rows(path: Path, frame: pd.DataFrame, form: TidyFormat) -> None:
    """Write tidy rows, one per cell and metric, making the folder; CSV is packed where the name ends in .gz.

    Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        frame.to_parquet(path, index=False)
    elif form == "csv" and path.suffix == ".gz":
        # A fixed time stamp inside the archive keeps equal tables equal files.
        frame.to_csv(path, index=False, compression={"method": "gzip", "mtime": 0})
    else:
        path.write_text(rows_text(frame, "csv" if form == "csv" else "json"), encoding="utf-8", newline="")


def rows_text(frame: pd.DataFrame, form: Literal["csv", "json"]) -> str:
    """Write tidy rows as text. JSON: a list of objects, missing values null, infinite ones text ("inf")."""
    if form == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    records = [{name: _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]
    # One row a line: a difference of two exports can be read.
    lines = ",\n".join(json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def _plain(value: Any) -> Any:
    return json_value(value.item() if hasattr(value, "item") else value)  # a number of NumPy's

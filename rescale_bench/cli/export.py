"""`export`: write the leaderboard, or the tidy rows, to a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_input, read_run, say, write_text
from rescale_bench.cli.table import add_view, metric_names
from rescale_bench.errors import UsageError

ENDINGS = {".md": "markdown", ".tex": "latex", ".html": "html", ".csv": "csv", ".json": "json", ".txt": "plain"}


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("export", help="write the leaderboard or the tidy rows to a file")
    add_input(parser)
    add_view(parser)
    parser.add_argument("--leaderboard", metavar="FILE", help="leaderboard; the ending chooses: " + " ".join(ENDINGS))
    parser.add_argument("--rows", metavar="FILE", help="tidy rows, one per cell and metric: .parquet, .csv or .csv.gz")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Write what was asked for."""
    del given
    if not known.leaderboard and not known.rows:
        raise UsageError("export: say what to write: --leaderboard FILE or --rows FILE")
    folder, frame = read_run(known.input)
    if known.leaderboard:
        _leaderboard(Path(known.leaderboard), frame, folder, known)
    if known.rows:
        names = metric_names(known.metrics)
        _rows(Path(known.rows), frame if names is None else frame[frame["metric"].isin(names)])
    return 0


def _leaderboard(path: Path, frame: Any, folder: Path, known: argparse.Namespace) -> None:
    from rescale_bench.store import read_json
    from rescale_bench.tables import leaderboard, leaderboard_page, render

    if path.suffix not in ENDINGS:
        raise UsageError(f"--leaderboard: {path} ends in none of {' '.join(ENDINGS)}")
    board = leaderboard(frame, reference=known.reference, metrics=metric_names(known.metrics))
    commands = read_json(folder / "run.json").get("history", []) if folder.is_dir() else []
    markdown = path.suffix == ".md"
    text = leaderboard_page(board, "\n".join(commands)) if markdown else render(board, ENDINGS[path.suffix])
    write_text(path, text.rstrip("\n") + "\n", "--leaderboard")
    say(f"wrote {path}")


def _rows(path: Path, frame: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        elif path.name.endswith((".csv", ".csv.gz")):
            # A fixed time stamp inside the archive keeps equal tables equal files.
            compression = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
            frame.to_csv(path, index=False, compression=compression)
        else:
            raise UsageError(f"--rows: {path} ends in none of .parquet .csv .csv.gz")
    except OSError as error:
        raise UsageError(f"--rows: cannot write {path}: {(error.strerror or str(error)).lower()}") from None
    say(f"wrote {path}")

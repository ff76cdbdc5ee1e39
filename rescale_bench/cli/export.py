"""`export`: write the leaderboard, or the tidy rows, to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.cli.common import add_input, read_input, say, write_file
from rescale_bench.cli.table import add_view, metric_names
from rescale_bench.errors import UsageError
from rescale_bench.machine.writing import reason

if TYPE_CHECKING:
    from rescale_bench.runs.table import TidyFormat
    from rescale_bench.tables import Leaderboard

ENDINGS = {".md": "markdown", ".tex": "latex", ".html": "html", ".csv": "csv", ".json": "json", ".txt": "plain"}
FORMATS = {".parquet": "parquet", ".csv": "csv", ".csv.gz": "csv", ".json": "json", ".tex": "latex"}
TRACKER = "tensorboard"
ROWS = (".parquet", ".csv", ".csv.gz")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("export", help="write the leaderboard or the tidy rows to a file")
    add_input(parser)
    add_view(parser)
    parser.add_argument(
        "--format", choices=(*dict.fromkeys(FORMATS.values()), TRACKER),
        help="of -o: tidy rows as parquet, csv or json; the leaderboard as latex, or as a folder of TensorBoard logs "
        "(default: by the ending of FILE)",
    )  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write; without it text goes to stdout")
    parser.add_argument("--leaderboard", metavar="FILE", help="leaderboard; the ending chooses: " + " ".join(ENDINGS))
    parser.add_argument("--rows", metavar="FILE", help="tidy rows, one per cell and metric: .parquet, .csv or .csv.gz")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Write what was asked for."""
    del given
    if not (known.format or known.output or known.leaderboard or known.rows):
        raise UsageError("export: say what to write: --format and -o FILE, --leaderboard FILE or --rows FILE")
    form = _format(known)
    folder, frame = read_input(known, whole=True)
    if form == "latex":
        _latex(_board(frame, known), known.output)
    elif form == TRACKER:
        _tracked(_board(frame, known), Path(known.output))
    elif form:
        _tidy(known.output, _chosen(frame, known), form, "output")
    if known.leaderboard:
        path = Path(known.leaderboard)
        if path.suffix not in ENDINGS:
            raise UsageError(f"{path} ends in none of {' '.join(ENDINGS)}", "leaderboard")
        _leaderboard(path, _board(frame, known), folder)
    if known.rows:
        _tidy(known.rows, _chosen(frame, known), _ending(known.rows, "rows", ROWS), "rows")
    return 0


def _format(known: argparse.Namespace) -> str:
    """Settle the format of -o, "" without one. Raises UsageError for an unknown ending, and for bytes to stdout."""
    if known.format == "parquet" and not known.output:
        raise UsageError("--format parquet: a table in bytes needs -o FILE")
    if known.format == TRACKER and not known.output:
        raise UsageError(f"--format {TRACKER}: its logs need -o FOLDER")
    if known.format or not known.output:
        return str(known.format or "")
    return _ending(known.output, "output", tuple(FORMATS))


def _ending(name: str, about: str, endings: Sequence[str]) -> str:
    found = [ending for ending in endings if Path(name).name.endswith(ending)]
    if not found:
        hint = "; give --format, or --leaderboard FILE for .md, .html and .txt" if about == "output" else ""
        raise UsageError(f"{name} ends in none of {' '.join(endings)}{hint}", about)
    return FORMATS[found[0]]


def _chosen(frame: Any, known: argparse.Namespace) -> Any:
    """Keep the rows of --metrics; `piqe_lr` also finds `piqe_lr:channels=bgr`. Raises UnknownNameError."""
    from rescale_bench.tables.rows import choose_metrics

    names = metric_names(known.metrics)
    return frame if names is None else frame[frame["metric"].isin(choose_metrics(frame, names))]


def _board(frame: Any, known: argparse.Namespace) -> Leaderboard:
    from rescale_bench.tables import leaderboard

    return leaderboard(frame, known.reference, metric_names(known.metrics))


def _latex(board: Leaderboard, output: str | None) -> None:
    from rescale_bench.tables import render

    text = "% Needs \\usepackage{booktabs}.\n" + render(board, "latex").rstrip("\n") + "\n"
    if not output:
        sys.stdout.write(text)
        return
    write_file(Path(output), text, "output")
    say(f"wrote {output}")


def _tracked(board: Leaderboard, folder: Path) -> None:
    from rescale_bench.tables.tensorboard import write_tensorboard

    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} holds something already; choose a new folder", "output")
        count = write_tensorboard(board, folder)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {reason(error)}", "output") from None
    say(f"wrote {folder}: {count} logs; look at them with: tensorboard --logdir {folder}")


def _leaderboard(path: Path, board: Leaderboard, folder: Path) -> None:
    from rescale_bench.runs.folder import Run
    from rescale_bench.tables import leaderboard_page, render

    markdown = path.suffix == ".md"
    text = leaderboard_page(board, "\n".join(Run(folder).history)) if markdown else render(board, ENDINGS[path.suffix])
    write_file(path, text.rstrip("\n") + "\n", "leaderboard")
    say(f"wrote {path}")


def _tidy(name: str | None, frame: Any, form: str, about: str) -> None:
    from rescale_bench.runs.table import rows_text, write_rows

    if not name:
        sys.stdout.write(rows_text(frame, "csv" if form == "csv" else "json"))
        return
    kind: TidyFormat = "parquet" if form == "parquet" else "csv" if form == "csv" else "json"
    try:
        write_rows(Path(name), frame, kind)
    except OSError as error:
        raise UsageError(f"cannot write {name}: {reason(error)}", about) from None
    say(f"wrote {name}")

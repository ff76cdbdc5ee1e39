"""Flags and small steps that several verbs share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.cli.screen import folded, terminal_width
from rescale_bench.errors import RescaleBenchError, UnknownNameError, UsageError
from rescale_bench.machine.printable import printable
from rescale_bench.machine.writing import reason

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry


def add_plugin_flag(parser: argparse.ArgumentParser) -> None:
    """Add --plugin, which loads a single-file plugin."""
    parser.add_argument("--plugin", dest="plugins", action="append", metavar="FILE.py", help="load a plugin file too")


def add_input(parser: argparse.ArgumentParser) -> None:
    """Add the run that a verb reads, and --plugin, so that the plugins of the run may be named here too."""
    parser.add_argument("run", nargs="?", metavar="RUN", help="run folder or tidy file (default: the newest in runs/)")
    parser.add_argument("-i", "--input", metavar="RUN", help="the same as a flag")
    add_plugin_flag(parser)


def registry(known: argparse.Namespace) -> Registry:
    """Load all plugins, once for a command."""
    from rescale_bench.api.registry import load_registry

    if "registry" not in known:
        known.registry = load_registry(tuple(known.plugins or ()))
    loaded: Registry = known.registry
    return loaded


def read_input(known: argparse.Namespace, whole: bool = False) -> tuple[Path, pd.DataFrame]:
    """Read the run that was named, or the newest one under runs/.

    whole: with the columns that nothing shows. Raises UsageError, StoreError, and PluginError.
    """
    if known.run and known.input:
        raise UsageError(f"one run is read: {known.run} or {known.input}?", "input")
    if known.plugins:
        registry(known)
    return read_run(known.run or known.input, whole)


def read_run(text: str | None, whole: bool = False) -> tuple[Path, pd.DataFrame]:
    """Read the run that the user named, or the newest one under runs/, as read_input does."""
    from rescale_bench.runs.folder import Run
    from rescale_bench.runs.schema import NAMES, SHOWN

    path = Path(text) if text else _newest()
    return path, Run(path).rows(NAMES if whole else SHOWN)


def _newest() -> Path:
    from rescale_bench.runs.folder import newest_run

    newest = newest_run(Path("runs"))
    if newest is None:
        raise UsageError("there is no run under runs/ yet: run `rescale-bench run`, or name one")
    return newest


def say(*text: Any) -> None:
    """Print a remark on stderr, after what stdout was given before: both may go to one file."""
    sys.stdout.flush()
    line = " ".join(printable(str(part), keep="\n\t") for part in text)
    print(folded(line, terminal_width(sys.stderr)), file=sys.stderr)


@contextmanager
def naming(setting: str) -> Iterator[None]:
    """Say which setting an error is about where a call cannot tell."""
    try:
        yield
    except UnknownNameError:
        raise
    except UsageError as error:
        error.about = error.about or setting
        raise


def described(error: RescaleBenchError, known: argparse.Namespace) -> str:
    """Write an error with the setting that it is about as the user gave it: "--scales", or "METHOD"."""
    if not error.about:
        return str(error)
    named = [action for action in known.parser._actions if action.dest == error.about]
    names = [
        max(action.option_strings, key=len, default=str(action.metavar or action.dest).upper()) for action in named
    ]
    return f"{(names or [error.about])[0]}: {error}"


def command_line(given: Sequence[str]) -> list[str]:
    """Give the command as the user would type it."""
    return ["rescale-bench", *given]


def name_list(text: str | None) -> tuple[str, ...]:
    """Split names at commas."""
    return tuple(filter(None, map(str.strip, (text or "").split(","))))


def write_file(path: Path, content: str | bytes, about: str) -> None:
    """Write a file, a text as UTF-8, making its folder. Raises UsageError about the setting."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}", about) from None

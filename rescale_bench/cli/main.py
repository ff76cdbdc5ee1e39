"""The entry point: one parser, one verb, one exit code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import rescale_bench
from rescale_bench.cli import (
    check,
    choose,
    claims,
    compare,
    distribution,
    doctor,
    export,
    info,
    merge,
    new_plugin,
    plot,
    prepare,
    published,
    report,
    robustness,
    run,
    score,
    shrink,
    site,
    submit,
    table,
    train,
    verify,
)
from rescale_bench.cli.common import described, say
from rescale_bench.cli.completion import complete
from rescale_bench.cli.screen import folded, plain_where_needed, terminal_width
from rescale_bench.errors import RescaleBenchError
from rescale_bench.machine.printable import printable

VERBS = {
    "Measure": (run, score, shrink),
    "Read": (table, choose, plot, report, compare, distribution, export),
    "Check": (check, published, claims, robustness, verify),
    "Share": (merge, submit, site),
    "Set up and extend": (info, doctor, prepare, train, new_plugin),
}
"""By what people need."""
EPILOG = """exit codes: 0 done, 1 some cells failed (results kept), 2 usage,
configuration, or a folder or disk that cannot be used (results kept),
3 regression found, 4 nothing comparable, 130 interrupted.
environment: RESCALE_BENCH_DATA (folders of data sets), _HOME (weights),
_CACHE (downloads), _OFFLINE=1 (never download), _PLUGINS (plugin files),
_DISABLE (installed plugins to leave out)."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; what it read remembers the parser of the innermost verb."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Make a parser as argparse does."""
        super().__init__(*arguments, **more)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and one line on stderr."""
        line = f"{self.prog}: {printable(message)} (see {self.prog} --help)"
        self.exit(2, folded(line, terminal_width(sys.stderr)) + "\n")


class Verbs:
    """What the verbs' modules are given to add themselves to; it keeps a line on each for the help of the program."""

    def __init__(self, parsers: Any) -> None:
        """Take what argparse's add_subparsers returns."""
        self.parsers, self.lines = parsers, list[str]()

    def add_parser(self, name: str, **more: Any) -> Any:
        """Add a verb; its summary heads its own help, too."""
        summary = str(more.pop("help"))
        self.lines += textwrap.wrap(summary, 79, initial_indent=f"  {name:<12} ", subsequent_indent=" " * 15)
        more.setdefault("description", summary[:1].upper() + summary[1:] + ".")
        return self.parsers.add_parser(name, **more)


class Version(argparse.Action):
    """Print the versions of rescale-bench and torch, and the device that `--device auto` takes."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        """Print and exit; torch is imported here alone."""
        parts = [f"rescale-bench {rescale_bench.__version__}"]
        try:
            import torch

            from rescale_bench.machine.device import usable_device

            device = usable_device("auto")
            card = f" ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else ""
            parts += [f"torch {torch.__version__}", f"device {device}{card}"]
        except (ImportError, OSError) as error:
            parts.append(f"torch cannot be imported ({str(error).splitlines()[0]})")
        print(", ".join(parts))
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all verbs."""
    parser = Parser(prog="rescale-bench", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action=Version, nargs=0, help="print versions and the device, and stop")
    verbs: Any = Verbs(parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser))
    verbs.lines.append(textwrap.fill(rescale_bench.__doc__ or "", 79))
    for need, modules in VERBS.items():
        verbs.lines += ["", f"{need}:"]
        for module in modules:
            module.add(verbs)
    parser.description = "\n".join(verbs.lines)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with plain_where_needed():
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    parser = build_parser()
    complete(parser)
    known = parser.parse_args(arguments)
    if known.verb is None:
        parser.print_help()
        return 2
    given = list(sys.argv[1:] if arguments is None else arguments)
    # A job that is told to stop keeps what it has, as with Ctrl-C.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _guarded(known.call, known, given)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _guarded(call: Callable[[Any, Sequence[str]], int], known: argparse.Namespace, given: Sequence[str]) -> int:
    try:
        code = call(known, given)
        sys.stdout.flush()
        return code
    except RescaleBenchError as error:
        say(f"rescale-bench: {described(error, known)}")
    except KeyboardInterrupt:
        print("rescale-bench: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more can be said on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 2

"""`new-plugin`: write the project of a plugin of one's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, registry, say
from rescale_bench.cli.screen import show
from rescale_bench.machine.printable import printable


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("new-plugin", help="write an installable plugin project with a working method")
    parser.add_argument("name", metavar="NAME", help="of the method: small letters, digits, hyphens (my-method)")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="new folder (default: rescale-bench-NAME)")
    parser.add_argument(
        "--program", action="store_true", help="write a method of two commands instead: a YAML file and a script"
    )
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Write the project, list its files and say what comes next."""
    del given
    from rescale_bench.scaffold import new_plugin, new_program

    write = new_program if known.program else new_plugin
    files = write(known.name, registry(known), known.output)
    for file in files:
        show(printable(str(file)))
    if known.program:
        say(f"next: rescale-bench verify '{files[0]}'")
        return 0
    folder = next(file.parent for file in files if file.name == "pyproject.toml")
    say(f"next: pip install -e '{folder}[dev]' && rescale-bench verify {known.name}")
    return 0

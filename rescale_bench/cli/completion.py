"""Completion in bash, zsh and fish: argcomplete asks the parser, and names come from the plugins."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

KINDS = {
    "methods": "methods", "datasets": "datasets", "codecs": "codecs", "metrics": "metrics", "metric": "metrics",
    "protocol": "protocols", "reference": "methods",
}  # fmt: skip
"""Setting → the kind of names that it takes."""
ASKED = "_ARGCOMPLETE"
"""The variable that the shell sets when it asks for words."""


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks for words, and leave; return at once where none does."""
    if ASKED not in os.environ:
        return
    import argcomplete

    for action in _actions(parser):
        if not action.choices and action.dest in KINDS:
            action.completer = _names(KINDS[action.dest])  # type: ignore[attr-defined]  # argcomplete's convention
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)


def _names(kind: str) -> Callable[..., list[str]]:
    def complete_last(prefix: str, **about: Any) -> list[str]:
        """Complete the last name of a list: "bicubic,ai" as "bicubic,aidn"."""
        del about
        before, comma, _ = prefix.rpartition(",")
        with contextlib.suppress(Exception):  # a broken plugin is told when the command runs, not at every key
            from rescale_bench.api.registry import load_registry

            return [f"{before}{comma}{name}" for name in getattr(load_registry(()), kind)]
        return []

    return complete_last

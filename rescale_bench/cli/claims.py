"""`claims`: judge the claims of papers by stored runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, name_list, naming, read_run, registry, say
from rescale_bench.cli.screen import add_wide, screen, show
from rescale_bench.errors import UnknownNameError

FORMATS = ("plain", "markdown", "html", "csv", "json")


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("claims", help="judge what the papers claim by stored runs: upheld, contradicted, open")
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders or tidy files (default: newest in runs/)")
    parser.add_argument(
        "--claims", action="append", default=[], metavar="FILE.yaml", help="claims of your own, beside the papers'"
    )
    parser.add_argument("--only", default="", metavar="NAMES", help="only these claims")
    parser.add_argument(
        "--full", default="published", metavar="TAGS",
        help="weights trained as their papers say: a contradiction by others is open (default: published)",
    )  # fmt: skip
    parser.add_argument("--commands", action="store_true", help="print the runs that the claims need, and stop")
    add_wide(parser)
    parser.add_argument("--format", choices=FORMATS, default="plain", help="(default: plain)")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print the ledger; exit 4 where no claim has the rows that it needs."""
    del given
    from rescale_bench import checks
    from rescale_bench.tables import render

    plugins = registry(known)
    files = [found.file for found in plugins.claims.values()]
    with naming("claims"):
        claims = checks.read_claims([checks.shipped_claims(), *files, *map(Path, known.claims)], plugins)
    with naming("only"):
        chosen = _only(claims, known.only)
    if known.commands:
        show("\n".join(dict.fromkeys(claim.command() for claim in chosen)), wide=True)
        return 0
    frame = _joined([read_run(text)[1] for text in known.runs or [None]])
    verdicts = checks.judge_claims(frame, chosen, plugins, name_list(known.full))
    brief = known.format == "plain" and not known.only
    show(render(checks.ledger(verdicts, brief), known.format, screen(known.wide)), known.format, known.wide)
    say(checks.counted(verdicts))
    return 0 if any(verdict.part for verdict in verdicts) else 4


def _joined(frames: Sequence[Any]) -> Any:
    import pandas as pd

    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _only(claims: Sequence[Any], text: str) -> Sequence[Any]:
    wanted = name_list(text)
    names = [claim.name for claim in claims]
    for name in wanted:
        if name not in names:
            raise UnknownNameError("claim", name, names)
    return [claim for claim in claims if not wanted or claim.name in wanted]

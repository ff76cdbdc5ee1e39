"""`verify`: check that a method keeps its contract."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rescale_bench.api.scales import parse_scales
from rescale_bench.cli.common import add_plugin_flag, registry, say
from rescale_bench.cli.screen import show


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "verify", help="check that a method keeps its contract (sizes, seal, determinism, tiles, batches)"
    )
    parser.add_argument("methods", nargs="+", metavar="METHOD", help="as in run: irn:weights=random")
    parser.add_argument("-s", "--scales", default="1.1,1.9,2,2.5,3,3.7,4", help="(default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small images only")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print each finding; exit 1 when one failed."""
    del given
    from rescale_bench.roundtrip.conformance import SIZES, verify

    plugins = registry(known)
    failed = 0
    for spec in known.methods:
        show(spec)
        for finding in verify(spec, plugins, SIZES[:2] if known.quick else SIZES, parse_scales(known.scales)):
            show(f"  {finding.status:<6}  {finding.check}: {finding.detail}")
            failed += finding.status == "failed"
    say(f"{failed} checks failed" if failed else "all checks hold")
    return 1 if failed else 0

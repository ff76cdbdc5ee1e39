"""`site`: write a public leaderboard, a static site, from many runs and submissions."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, name_list, naming, registry, say, write_file
from rescale_bench.cli.table import add_view, metric_names
from rescale_bench.errors import UsageError
from rescale_bench.machine.printable import plural

MADE = "assets/site.js"
"""A file by which a folder is known to hold a site, so that an old one may be replaced."""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser("site", help="write a public leaderboard, a static site, from many runs")
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="run folders, tidy files, submissions, or folders of them"
    )
    parser.add_argument("-o", "--output", default="site", metavar="FOLDER", help="where to write (default: site)")
    parser.add_argument("--title", default="rescale-bench leaderboard", help="of the site")
    add_view(parser)
    parser.add_argument(
        "--pictures", metavar="SETS",
        help="show kept pictures of these folders of yours, too; naming one says that everybody may see them",
    )  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="exit 1 where anything was left out")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Take what may be published, say what may not, and write the pages."""
    del given
    from rescale_bench.report.admission import admit
    from rescale_bench.report.site import Look, build_site

    output = Path(known.output)
    _check(output)
    plugins = registry(known)
    admitted = admit([Path(text) for text in known.runs], plugins)
    for line in admitted.refusals:
        say(f"left out: {line}")
    metrics = metric_names(known.metrics)
    look = Look(known.title, known.reference, tuple(metrics) if metrics else None, name_list(known.pictures))
    with naming("pictures"):
        files = build_site(admitted, plugins, look)
    _write(output, files)
    rows, sources = len(admitted.rows), len(admitted.sources)
    say(f"wrote {output}/index.html: {plural(rows, 'row')} of {plural(sources, 'run')}")
    return 1 if known.strict and admitted.refusals else 0


def _check(output: Path) -> None:
    """Refuse a folder that holds something else than an earlier site. Raises UsageError."""
    if output.is_dir() and any(output.iterdir()) and not (output / MADE).is_file():
        raise UsageError(f"{output} holds something else than a site; choose an empty or a new folder", "output")


def _write(output: Path, files: Mapping[str, str | bytes]) -> None:
    """Write the pages in place of those of an earlier site."""
    if (output / MADE).is_file():
        for part in ("assets", "data", "pictures"):
            shutil.rmtree(output / part, ignore_errors=True)
        for page in output.glob("*.html"):
            page.unlink()
    for name, content in files.items():
        write_file(output / name, content, "output")

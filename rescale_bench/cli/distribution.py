"""`distribution`: measure what only a whole set of images has (FID, KID), on the outputs of `run --keep`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rescale_bench.cli.common import add_input, read_input, registry, say
from rescale_bench.cli.screen import OTHER, screen, show
from rescale_bench.errors import UsageError


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "distribution", help="measure FID and KID of each data set on the outputs of `run --keep`"
    )
    add_input(parser)
    parser.add_argument(
        "--metrics", default="fid,kid", metavar="NAMES",
        help="of a whole data set (default: fid,kid); `prepare --metrics fid` gets the weights",
    )  # fmt: skip
    parser.add_argument("--format", choices=("plain", "markdown", "csv", "json"), default="plain")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(call=call)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Measure, keep the values among the run's rows, and print the table; exit 1 where sets lack pictures or failed."""
    del given
    from rescale_bench.runner.set_metrics import measure_kept_run
    from rescale_bench.runs.folder import Run, read_table
    from rescale_bench.tables import leaderboard, render

    plugins = registry(known)
    metrics = [_metric(name.strip(), plugins) for name in known.metrics.split(",")]
    path, _ = read_input(known)
    found = measure_kept_run(Run(path), metrics, (lambda line: None) if known.quiet else say)
    board = leaderboard(read_table(path), metrics=[metric.label for metric in metrics])
    show(render(board, known.format, screen(hint=OTHER)), known.format)
    for where in found.skipped:
        say(f"{where}: no stored pictures; measure again with `run --keep`")
    for line in found.failures:
        say(f"{line['method']} ×{line['scale']} on {line['dataset']}: {line['error']}")
    say(f"{found.measured} values measured, {found.reused} taken from the store")
    return 1 if found.skipped or found.failures else 0


def _metric(name: str, plugins: Any) -> Any:
    from rescale_bench.api.records import SetMetric
    from rescale_bench.api.specs import parse_spec

    chosen = plugins.choose_metric(parse_spec(name, "metrics"))
    record = chosen.record
    if not isinstance(record, SetMetric):
        raise UsageError(
            f"{record.name} is a value of each image: rescale-bench run --metrics {record.name}", "metrics"
        )
    return chosen

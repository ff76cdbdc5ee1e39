"""`distribution`: measure what only a whole set of images has (FID, KID), on the outputs of `run --keep`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rescale_bench.cli.common import add_input, read_input, registry, say
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
    """Measure, keep distribution.csv in the run folder, and print the table; exit 1 where sets lack pictures."""
    del given
    from rescale_bench.distribution import measure_distribution
    from rescale_bench.tables import leaderboard, render

    plugins = registry(known)
    metrics = [_metric(name.strip(), plugins) for name in known.metrics.split(",")]
    path, frame = read_input(known)
    found = measure_distribution(
        path, frame, metrics,
        single_plane=lambda name: plugins.choose_protocol(name).plane == "y",
        report=(lambda line: None) if known.quiet else say,
    )  # fmt: skip
    names = [metric.name for metric in metrics]
    print(render(leaderboard(frame, metrics=names, set_values=found.values), known.format))
    for place in found.skipped:
        say(f"{place}: no stored pictures; measure again with `run --keep`")
    say(f"{found.measured} values measured, {found.reused} taken from the store")
    return 1 if found.skipped else 0


def _metric(name: str, plugins: Any) -> Any:
    from rescale_bench.api.records import SetMetric
    from rescale_bench.api.specs import parse_spec

    record = plugins.choose_metric(parse_spec(name, "metrics")).record
    if not isinstance(record, SetMetric):
        raise UsageError(
            f"--metrics: {record.name} is a value of each image: rescale-bench run --metrics {record.name}"
        )
    return record

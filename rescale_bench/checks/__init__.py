"""Checks of a run: against a stored run (regressions), and against what the papers published."""

from rescale_bench.checks.published import compare, read_published, shipped_tables
from rescale_bench.checks.published_tables import render_published
from rescale_bench.checks.regression import CheckResult, check
from rescale_bench.checks.reporting import github_annotations, junit, report
from rescale_bench.checks.tolerances import parse_tolerances

__all__ = [
    "CheckResult",
    "check",
    "compare",
    "github_annotations",
    "junit",
    "parse_tolerances",
    "read_published",
    "render_published",
    "report",
    "shipped_tables",
]

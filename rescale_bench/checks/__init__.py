"""Checks of a run: against a stored run (regressions, differences), and against what papers published and claim."""

from rescale_bench.checks.claims import Claim, read_claims, shipped_claims
from rescale_bench.checks.claims_ledger import Verdict, judge_claims
from rescale_bench.checks.claims_tables import counted, ledger, verdict_texts
from rescale_bench.checks.coverage import COVERED, cover, coverage_table, reasons_table, render_coverage
from rescale_bench.checks.difference_report import comparison_json, render_comparison
from rescale_bench.checks.differences import RunComparison, compare_runs
from rescale_bench.checks.explanations import explain
from rescale_bench.checks.printed import printed_numbers
from rescale_bench.checks.published import compare, read_published, shipped_tables
from rescale_bench.checks.published_tables import render_published
from rescale_bench.checks.regression import CheckResult, check
from rescale_bench.checks.remeasuring import remeasure
from rescale_bench.checks.reporting import github_annotations, junit, report
from rescale_bench.checks.rescoring import read_pictures
from rescale_bench.checks.tolerances import parse_tolerances

__all__ = [
    "COVERED",
    "CheckResult",
    "Claim",
    "RunComparison",
    "Verdict",
    "check",
    "compare",
    "compare_runs",
    "comparison_json",
    "counted",
    "cover",
    "coverage_table",
    "explain",
    "github_annotations",
    "judge_claims",
    "junit",
    "ledger",
    "parse_tolerances",
    "printed_numbers",
    "read_claims",
    "read_pictures",
    "read_published",
    "reasons_table",
    "remeasure",
    "render_comparison",
    "render_coverage",
    "render_published",
    "report",
    "shipped_claims",
    "shipped_tables",
    "verdict_texts",
]

"""One self-contained HTML page about a stored run: leaderboard, statistics, plots, pictures, protocol, commands."""

from rescale_bench.report.charts import Chart, draw_charts
from rescale_bench.report.page import View, build_report
from rescale_bench.report.significance import chosen_metric, measure_references
from rescale_bench.report.source import ReportSource, read_source

__all__ = [
    "Chart",
    "ReportSource",
    "View",
    "build_report",
    "chosen_metric",
    "draw_charts",
    "measure_references",
    "read_source",
]

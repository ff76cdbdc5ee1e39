"""One self-contained HTML page about a stored run: leaderboard, plots, pictures, protocol, failures, commands."""

from rescale_bench.report.charts import Chart, draw_charts
from rescale_bench.report.page import View, build_report
from rescale_bench.report.source import Source, read_source

__all__ = ["Chart", "Source", "View", "build_report", "draw_charts", "read_source"]

"""Leaderboards made from the tidy rows of a run: what is compared, how it is laid out, how it is written."""

from rescale_bench.tables.layout import Leaderboard
from rescale_bench.tables.leaderboard import leaderboard
from rescale_bench.tables.page import leaderboard_page, write_leaderboard
from rescale_bench.tables.rendering import FORMATS, render
from rescale_bench.tables.sweep import sweep_matrix

__all__ = [
    "FORMATS",
    "Leaderboard",
    "leaderboard",
    "leaderboard_page",
    "render",
    "sweep_matrix",
    "write_leaderboard",
]

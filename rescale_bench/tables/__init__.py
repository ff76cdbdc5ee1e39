"""Leaderboards made from the tidy rows of a run: what is compared, how it is laid out, how it is written."""

from rescale_bench.tables.export import leaderboard_page
from rescale_bench.tables.leaderboard import leaderboard
from rescale_bench.tables.model import Leaderboard
from rescale_bench.tables.rendering import FORMATS, render

__all__ = [
    "FORMATS",
    "Leaderboard",
    "leaderboard",
    "leaderboard_page",
    "render",
]

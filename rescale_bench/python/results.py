"""A stored run in a Python session: its rows, and what can be made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.runs.folder import read_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from rescale_bench.tables.model import Leaderboard


@dataclass(frozen=True)
class Board:
    """A leaderboard that prints as text, and shows as a table in a notebook."""

    board: Leaderboard

    def __str__(self) -> str:
        """Write it as the command line prints it."""
        from rescale_bench.tables import render

        return render(self.board)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from rescale_bench.tables import render

        return render(self.board, "html")


@dataclass(frozen=True)
class Plot:
    """A plot that shows itself in a notebook. figure: matplotlib's, to be changed or saved."""

    figure: Figure

    def save(self, path: str | Path) -> None:
        """Write it as .png or .svg. Raises UsageError."""
        from rescale_bench.plots import save

        save(self.figure, Path(path))

    def _repr_svg_(self) -> str:
        from rescale_bench.plots import svg

        return svg(self.figure, standalone=True)


@dataclass(frozen=True)
class Results:
    """A stored run, or those of its cells that one call asked for.

    path: the run folder, or a file of tidy rows. cells: keys of the cells, None for all. notes: what a user should
    know. interrupted: an interrupt came before the last cell; the same call goes on.
    """

    path: Path
    cells: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row for each cell and metric. Raises StoreError."""
        table = read_table(self.path)
        return table if self.cells is None else table[table["cell"].isin(self.cells)].reset_index(drop=True)

    @property
    def failures(self) -> pd.DataFrame:
        """The rows that failed, with their errors."""
        return self.rows[self.rows["status"] == "failed"]

    def leaderboard(self, metrics: str | Sequence[str] | None = None, reference: str = "bicubic") -> Board:
        """Average the rows into a leaderboard. Raises UsageError where there is no row, UnknownNameError."""
        from rescale_bench.tables import leaderboard

        return Board(leaderboard(self.rows, reference, None if metrics is None else _names(metrics)))

    def plot(self, kind: str = "scale", metrics: str | Sequence[str] = "psnr_y", **options: Any) -> Plot:
        """Draw a kind of plot: scale, rate-distortion, cost, parameters, lr or strip.

        options: as the flags of `rescale-bench plot` (datasets, methods, scales, codecs: lists; protocol, reference,
        relative). Raises UsageError where there is nothing to draw, UnknownNameError.
        """
        from rescale_bench.plots import figure

        return Plot(figure(kind, self.rows, metrics=_names(metrics), **options))

    def robustness(
        self, metric: str = "psnr_y", references: str | Sequence[str] = "bicubic", plugins: Sequence[str] = ()
    ) -> Board:
        """Say what is left of a ranking when the LR is damaged, for a run with `damage`.

        references: methods that others may fall below. Raises UsageError, UnknownNameError.
        """
        from rescale_bench.api.registry import load_registry
        from rescale_bench.tables.stability import grids, stability_board

        return Board(stability_board(grids(self.rows, load_registry(plugins), metric), _names(references)))

    def report(self, path: str | Path, reference: str = "bicubic", plugins: Sequence[str] = ()) -> Path:
        """Write the run as one HTML page that needs no network, and return its path. Raises UsageError, OSError."""
        from rescale_bench.api.registry import load_registry
        from rescale_bench.report import View, build_report, draw_charts, read_source

        source = read_source(self.path, self.rows)
        charts, _ = draw_charts(source, reference)
        page = build_report(source, load_registry(plugins), View(reference, command="python"), charts)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
        return path


def _names(metrics: str | Sequence[str]) -> list[str]:
    return [name.strip() for name in metrics.split(",")] if isinstance(metrics, str) else list(metrics)

"""What the report reads: a stored run and its tidy rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rescale_bench.runs.folder import Run
from rescale_bench.tables.rows import prepare

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ReportSource:
    """A stored run. frame: tidy rows as stored. rows: the same, prepared and labelled."""

    run: Run
    frame: pd.DataFrame
    rows: pd.DataFrame


def read_source(path: Path, frame: pd.DataFrame) -> ReportSource:
    """Take the tidy rows of a run. Raises UsageError when there are none."""
    return ReportSource(Run(path), frame, prepare(frame))

"""What the report reads of a run: its tidy rows, run.json, env.json and the folder of kept outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.plots.originals import Places, places_of
from rescale_bench.runs.folder import Run
from rescale_bench.runs.outputs import Outputs
from rescale_bench.tables.rows import prepare

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """A stored run.

    name: for people. frame: tidy rows as stored. rows: the same, prepared and labelled. asked, history: of run.json.
    environment: env.json, empty where unknown. outputs: its kept pictures.
    places: where its HR images may be found again.
    """

    name: str
    frame: pd.DataFrame
    rows: pd.DataFrame
    asked: Mapping[str, Any]
    history: tuple[str, ...]
    environment: Mapping[str, Any]
    outputs: Outputs
    places: Places = field(default_factory=Places)


def read_source(path: Path, frame: pd.DataFrame) -> Source:
    """Read what stands beside the tidy rows of a run folder (or of its results.parquet).

    Raises UsageError when there are no rows.
    """
    run = Run(path)
    return Source(
        name=run.name,
        frame=frame,
        rows=prepare(frame),
        asked=run.asked,
        history=run.history,
        environment=run.environment,
        outputs=run.outputs,
        places=places_of(path),
    )

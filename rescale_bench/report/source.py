"""What the report reads of a run: its tidy rows, run.json, env.json and the folder of kept outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.plots.originals import Places, places_of
from rescale_bench.runs.set_values import SetValue, read_set_values
from rescale_bench.runs.store import read_json
from rescale_bench.tables.rows import prepare

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """A stored run.

    name: for people. frame: tidy rows as stored. rows: the same, prepared and labelled. asked, history: of run.json.
    environment: env.json, empty where unknown. outputs: folder of kept pictures, None where the run is a bare file.
    places: where its HR images may be found again. set_values: of whole data sets, measured by `distribution`.
    """

    name: str
    frame: pd.DataFrame
    rows: pd.DataFrame
    asked: Mapping[str, Any]
    history: tuple[str, ...]
    environment: Mapping[str, Any]
    outputs: Path | None
    places: Places = field(default_factory=Places)
    set_values: tuple[SetValue, ...] = ()


def read_source(path: Path, frame: pd.DataFrame) -> Source:
    """Read what stands beside the tidy rows of a run folder (or of its results.parquet).

    Raises UsageError when there are no rows.
    """
    folder = path if path.is_dir() else path.parent if path.name == "results.parquet" else None
    rows = prepare(frame)
    if folder is None:
        return Source(path.name, frame, rows, {}, (), {}, None)
    run = read_json(folder / "run.json")
    asked, history = run.get("asked"), run.get("history")
    return Source(
        name=folder.resolve().name,
        frame=frame,
        rows=rows,
        asked=asked if isinstance(asked, dict) else {},
        history=tuple(map(str, history)) if isinstance(history, list) else (),
        environment=read_json(folder / "env.json"),
        outputs=folder / "outputs",
        places=places_of(path),
        set_values=read_set_values(path),
    )

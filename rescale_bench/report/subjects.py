"""Which kept outputs belong together: one subject is an image, its settings are scales (and protocols)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.runs.outputs import Outputs
from rescale_bench.tables.model import number
from rescale_bench.tables.rows import choose_metrics

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("psnr_y", "ssim_y", "psnr_lr")
"""Scores that stand under a picture, where the run has them."""


@dataclass(frozen=True)
class Output:
    """One cell with kept pictures. label: method, codec and seed as far as they differ. scores: as text."""

    label: str
    files: Mapping[str, Path]
    scores: str


@dataclass(frozen=True)
class OutputGroup:
    """One protocol and scale of one image."""

    title: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class PictureSubject:
    """One image of one data set, with the settings that have pictures."""

    dataset: str
    image: str
    settings: tuple[OutputGroup, ...]


@dataclass(frozen=True)
class Gallery:
    """Subjects with pictures, and labels of the cells that were measured but have none."""

    subjects: tuple[PictureSubject, ...]
    lacking: tuple[str, ...]
    cells: int


def find_subjects(rows: pd.DataFrame, outputs: Outputs) -> Gallery:
    """Group prepared rows into subjects. outputs: the pictures that its run kept."""
    columns = ["dataset", "image", "protocol", "protocol_version", "scale", "codec", "seed", "label", "cell"]
    if outputs.folder is None or "cell" not in rows:
        return Gallery((), (), 0)
    measured = rows[rows["status"] != "failed"]
    cells = measured[~measured["cell"].duplicated()][columns]
    several = {name: cells[name].nunique() > 1 for name in ("codec", "seed")}
    kept = outputs.cells()
    scores = _scores(measured[measured["cell"].isin(kept)])
    lacking: list[str] = []
    grouped: dict[tuple[str, str], dict[tuple[str, str, Decimal], list[Output]]] = {}
    for cell in cast(Iterator[Any], cells.itertuples(index=False)):
        label = _label(cell, several)
        if cell.cell not in kept:
            lacking.append(f"{cell.dataset} {cell.image} ×{cell.scale} {label}")
            continue
        setting = (cell.protocol, str(cell.protocol_version), Decimal(cell.scale))
        subject = grouped.setdefault((cell.dataset, cell.image), {})
        subject.setdefault(setting, []).append(Output(label, outputs.files(cell.cell), scores.get(cell.cell, "")))
    subjects = tuple(PictureSubject(*key, _settings(settings)) for key, settings in sorted(grouped.items()))
    return Gallery(subjects, tuple(lacking), len(cells))


def _label(cell: Any, several: Mapping[str, bool]) -> str:
    parts = [cell.label]
    if several["codec"]:
        parts.append(cell.codec)
    if several["seed"]:
        parts.append(f"seed {cell.seed}")
    return " · ".join(parts)


def _settings(settings: Mapping[tuple[str, str, Decimal], Sequence[Output]]) -> tuple[OutputGroup, ...]:
    named = len({(protocol, version) for protocol, version, _ in settings}) > 1
    return tuple(
        OutputGroup(f"×{scale}" + (f" · {protocol} version {version}" if named else ""), tuple(outputs))
        for (protocol, version, scale), outputs in sorted(settings.items())
    )


def _scores(rows: pd.DataFrame) -> dict[str, str]:
    """Write the scores of each cell as one line: "psnr_y 28.287 dB, ssim_y 0.9155"."""
    known = [name for name in choose_metrics(rows, None) if name in SHOWN]
    texts: dict[str, list[str]] = {}
    shown = rows[rows["metric"].isin(known) & (rows["status"] == "ok")]
    for name in known:
        for row in cast(Iterator[Any], shown[shown["metric"] == name].itertuples(index=False)):
            texts.setdefault(row.cell, []).append(f"{name} {number(row.value, int(row.decimals))} {row.unit}".strip())
    return {cell: ", ".join(parts) for cell, parts in texts.items()}

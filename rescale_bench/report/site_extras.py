"""Pages that a site has where its rows hold something for them: robustness, ceilings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescale_bench.errors import UsageError
from rescale_bench.report.facts import method_facts
from rescale_bench.report.site_tables import measured
from rescale_bench.tables import leaderboard
from rescale_bench.tables.gaps import gap_table
from rescale_bench.tables.model import Section
from rescale_bench.tables.stability import grids, stability_board

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

CELL_OF_METHOD = ["method", "options", "weights", "dataset", "protocol", "codec", "scale"]
"""What the damaged and the undamaged rows of one method share."""


@dataclass(frozen=True)
class Extra:
    """One such page. terms: names of its tables that need a word, and what they mean."""

    file: str
    title: str
    lead: str
    terms: Sequence[tuple[str, str]]
    sections: Sequence[Section]


def undamaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows of damaged LR files, unless there are no others: they are no leaderboard of their own."""
    whole = rows[rows["damage"] == ""]
    return rows if whole.empty else whole


def extras(rows: pd.DataFrame, registry: Registry, reference: str, metric: str) -> Iterator[Extra]:
    """Make the pages that rows have something for. metric: the main one."""
    if found := _robustness(rows, registry, reference, metric):
        lead = (
            "What is left of each method when a platform changes its LR file on the way to the upscaler. "
            "Rows of damaged LR files stand here and on no leaderboard."
        )
        steps = {step.partition(":")[0] for damage in rows["damage"].unique() for step in str(damage).split("+")}
        terms = [(name, registry.damages[name].summary) for name in sorted(steps) if name in registry.damages]
        yield Extra("robustness.html", "Robustness", lead, terms, found)
    found, names = _ceilings(undamaged(rows), reference, metric)
    if found:
        lead = (
            "A ceiling is no rescaler: it shows how good an image could be that is stored in the bytes, or numbers, of "
            "an LR image. The tables below the means show how far each method is from it, image by image: mean ± half "
            "the paired 95 % t-interval."
        )
        terms = [(name, text) for name in names if (text := method_facts(name, registry).get("In one line", ""))]
        yield Extra("ceilings.html", "Ceilings", lead, terms, found)


def _robustness(rows: pd.DataFrame, registry: Registry, reference: str, metric: str) -> tuple[Section, ...]:
    """Lay out what was measured with damage, the settings with most methods first."""
    damaged = rows.loc[rows["damage"] != "", CELL_OF_METHOD].drop_duplicates()
    try:
        sections = stability_board(
            grids(rows.merge(damaged, on=CELL_OF_METHOD), registry, metric), [reference]
        ).sections
    except UsageError:
        return ()  # nothing is damaged, or nothing is not, or the reference was not measured with it
    return tuple(sorted(sections, key=lambda section: -max(len(table.rows) for table in section.tables)))


def _ceilings(rows: pd.DataFrame, reference: str, metric: str) -> tuple[tuple[Section, ...], list[str]]:
    """Lay out each setting that has ceilings, with a table of gaps for each of them; and name the ceilings."""
    bounds = rows["ceiling"].astype(str).str.lower().isin(("true", "1", "1.0"))
    place = ["dataset", "protocol", "codec", "scale"]
    with_bounds = rows.merge(rows.loc[bounds, place].drop_duplicates(), on=place)
    if with_bounds.empty:
        return (), []
    board = leaderboard(with_bounds, reference, [metric])
    sections = []
    for section in board.sections:
        mine = [one for one in board.scores if one.group.setting == section.setting and one.metric == metric]
        labels = sorted({one.label for one in mine if one.ceiling})
        tables = (*map(measured, section.tables), *(gap_table(mine, label) for label in labels))
        sections.append(dataclasses.replace(section, tables=tables))
    return tuple(sections), sorted(set(rows.loc[bounds, "method"]))

"""Pages that a site has where its rows hold something for them: claims of papers, robustness, ceilings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rescale_bench import checks
from rescale_bench.errors import UsageError
from rescale_bench.tables import leaderboard
from rescale_bench.tables.gaps import with_gaps
from rescale_bench.tables.model import Section
from rescale_bench.tables.stability import grids, stability_board

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry


@dataclass(frozen=True)
class Extra:
    """One such page. header: the column that names the rows of its tables."""

    file: str
    title: str
    lead: str
    sections: Sequence[Section]
    header: str = "method"


def undamaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out rows of damaged LR files, unless there are no others: they are no leaderboard of their own."""
    whole = rows[rows["damage"] == ""]
    return rows if whole.empty else whole


def extras(rows: pd.DataFrame, registry: Registry, reference: str, metric: str) -> Iterator[Extra]:
    """Make the pages that rows have something for. metric: the main one."""
    whole = undamaged(rows)
    found = tuple(_claims(whole, registry))
    if found:
        lead = "What papers claim, judged by the rows of this site. rescale-bench claims prints what is missing."
        yield Extra("claims.html", "Claims", lead, found, "claim")
    if (rows["damage"] != "").any():
        try:
            found = stability_board(grids(rows, registry, metric), [reference]).sections
        except UsageError:
            found = ()  # no method was measured with and without damage, or not the reference
        if found:
            lead = "What is left of each method when something happens to its LR file on the way."
            yield Extra("robustness.html", "Robustness", lead, found)
    found = tuple(_ceilings(whole, reference, metric))
    if found:
        lead = "Upper bounds that are no rescalers, and what each method lacks to them, image by image."
        yield Extra("ceilings.html", "Ceilings", lead, found)


def _claims(rows: pd.DataFrame, registry: Registry) -> Iterator[Section]:
    """Lay out the claims that the rows decide or leave open; those without rows stand in no table."""
    files = [checks.shipped_claims(), *(found.file for found in registry.claims.values())]
    verdicts = checks.judge_claims(rows, checks.read_claims(files, registry), registry)
    yield from checks.ledger([verdict for verdict in verdicts if verdict.part]).sections


def _ceilings(rows: pd.DataFrame, reference: str, metric: str) -> Iterator[Section]:
    """Lay out each setting that has ceilings, a table for each of them."""
    bounds = rows["ceiling"].astype(str).str.lower().isin(("true", "1", "1.0"))
    place = ["dataset", "protocol", "codec", "scale"]
    with_bounds = rows.merge(rows.loc[bounds, place].drop_duplicates(), on=place)
    if with_bounds.empty:
        return
    board = leaderboard(with_bounds, reference, [metric])
    for label in sorted({score.label for score in board.scores if score.ceiling}):
        try:
            sections = with_gaps(board, label).sections
        except UsageError:
            sections = board.sections  # so many scales that they stand as columns
        yield from (section for section in sections if _holds(section, label))


def _holds(section: Section, label: str) -> bool:
    return any(row.method == label for table in section.tables for row in table.rows)

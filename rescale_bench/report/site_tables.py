"""Tables of the site that no run has: methods over data sets, all results of one method, values of single images."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from rescale_bench.statistics.paired import t_quantile
from rescale_bench.tables.leaderboard import PRIMARY
from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    NOT_NATIVE,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    marked,
    method_cell,
    number,
    number_cell,
    scale_cell,
)
from rescale_bench.tables.notes import footnotes, incomplete
from rescale_bench.tables.scores import Group, Score, Setting, best_first
from rescale_bench.tables.sweep import metric_column

ALL = "all data sets"
Places = dict[tuple[Group, str], tuple[int, int]]
"""Group and label → place, and among how many."""
FINER = 2
"""Digits beyond a table's with which the values of single images are stored."""


def primary(scores: Iterable[Score]) -> str:
    """Choose the metric that comes first: psnr_y, psnr_rgb, ssim_y, or the first by name."""
    held = {score.metric for score in scores if not score.whole}
    return next((name for name in PRIMARY if name in held), min(held, default=""))


def measured(table: Table) -> Table:
    """Leave out the rows of methods that were not measured at a scale."""
    lead = {"scale", "images"}
    places = [place for place, column in enumerate(table.columns) if column.name not in lead]
    kept = (row for row in table.rows if any(row.cells[place].value is not None for place in places))
    return dataclasses.replace(table, rows=tuple(kept))


def overviews(scores: Sequence[Score]) -> list[Section]:
    """Lay the main metric out as methods under data sets, for each protocol and codec that has several of them."""
    metric = primary(scores)
    together: dict[Setting, list[Score]] = {}
    for score in scores:
        if score.metric == metric and not score.whole:
            setting = dataclasses.replace(score.group.setting, dataset=ALL)
            together.setdefault(setting, []).append(score)
    several = {at: mine for at, mine in together.items() if len({one.group.dataset for one in mine}) > 1}
    return [_overview(setting, mine) for setting, mine in several.items()]


def _overview(setting: Setting, scores: Sequence[Score]) -> Section:
    at = {(score.group.scale, score.group.dataset, score.label): score for score in scores}
    sizes: dict[str, int] = {}
    for score in scores:
        sizes[score.group.dataset] = max(sizes.get(score.group.dataset, 0), score.images)
    sets = sorted(sizes, key=lambda name: (sizes[name], name))
    head = metric_column(scores[0])
    columns = [TableColumn("scale"), TableColumn("method", "text")]
    columns += [dataclasses.replace(head, name=name) for name in sets]
    rows: list[Row] = []
    # What most methods were measured at comes first.
    methods = Counter(scale for scale, _ in {(score.group.scale, score.label) for score in scores})
    for scale in sorted(methods, key=lambda one: (-methods[one], Decimal(one))):
        mine = [score for score in scores if score.group.scale == scale]
        # The data set that most methods were measured on leads.
        counts = {name: sum(score.group.dataset == name for score in mine) for name in sets}
        lead = max(sets, key=counts.__getitem__)
        leading = {score.label: score for score in mine if score.group.dataset == lead}
        trained = {score.label: score.trained for score in mine}
        for place, label in enumerate(best_first(trained, leading)):
            own = [at.get((scale, name, label)) for name in sets]
            sign = NOT_NATIVE if any(score and not score.native for score in own) else ""
            cells = (scale_cell(scale), method_cell(label, sign), *map(_mean, own))
            rows.append(Row(cells, label, scale, trained[label], ruled=bool(rows) and place == 0))
    notes = ("–: not measured on this data set.", *footnotes(scores))
    return Section(setting, (marked(Table(head.heading, tuple(columns), tuple(rows))),), notes)


def _mean(score: Score | None) -> TableCell:
    if score is None or score.mean is None:
        return TableCell(MISSING)
    return number_cell(score.mean, score.about.decimals, score.ranked, INCOMPLETE if incomplete(score) else "")


def places(scores: Sequence[Score], metric: str) -> Places:
    """Give the place by a metric of each ranked score, and how many there are: (group, label) → (place, of)."""
    groups: dict[Group, list[Score]] = {}
    for score in scores:
        if score.metric == metric and score.ranked and score.mean is not None:
            groups.setdefault(score.group, []).append(score)
    found = {}
    for group, members in groups.items():
        sign = 1 if members[0].about.direction == "down" else -1
        # What prints alike shares a place.
        values = {score.label: sign * float(number(score.mean, score.about.decimals).replace("∞", "inf"))
                  for score in members}  # fmt: skip
        ordered = sorted(values.values())
        for label, value in values.items():
            found[group, label] = (1 + bisect_left(ordered, value), len(members))
    return found


def method_tables(scores: Sequence[Score], metrics: Sequence[str], place_of: Places) -> list[tuple[str, Table]]:
    """Lay out all results of a method, a table for each protocol. scores: the method's. metrics: in their order."""
    mine = [score for score in scores if not score.whole]
    tables = []
    for protocol in sorted({(score.group.protocol, score.group.protocol_version) for score in mine}):
        members = [one for one in mine if (one.group.protocol, one.group.protocol_version) == protocol]
        tables.append((f"protocol {protocol[0]} version {protocol[1]}", _results(members, metrics, place_of)))
    return tables


def _results(scores: Sequence[Score], metrics: Sequence[str], place_of: Places) -> Table:
    by_metric = {score.metric: score for score in scores}
    heads = {name: by_metric[name] for name in metrics if name in by_metric}
    at = {(score.group, score.label, score.metric): score for score in scores}
    columns = [TableColumn("method", "text"), TableColumn("data set", "text"), TableColumn("LR file", "text")]
    columns += [TableColumn("scale"), TableColumn("place"), TableColumn("images"), *map(metric_column, heads.values())]
    rows = []
    for group, label in sorted({(s.group, s.label) for s in scores}, key=lambda one: (one[0].order, one[1])):
        first = next(score for score in scores if score.group == group and score.label == label)
        place, of = place_of.get((group, label), (0, 0))
        rank = TableCell(f"{place} of {of}", place) if place else TableCell(MISSING)
        lead = (method_cell(label), TableCell(group.dataset), TableCell(group.codec), scale_cell(group.scale))
        values = (_mean(at.get((group, label, metric))) for metric in heads)
        count = first.images - first.missing - first.count("failed")
        images = TableCell(str(count) if count == first.images else f"{count}/{first.images}", count)
        rows.append(Row((*lead, rank, images, *values), label, group.scale, first.trained))
    return Table("", tuple(columns), tuple(rows))


def image_values(scores: Sequence[Score], metrics: Sequence[str]) -> dict[tuple[Setting, str], dict[str, Any]]:
    """Collect the values of single images: (setting, scale) → what the page of comparisons reads.

    Metrics without a better end, and clocks, are left out. Values are rounded to two digits more than tables show.
    """
    groups: dict[tuple[Setting, str], list[Score]] = {}
    for score in scores:
        if score.about.direction != "none" and score.about.repeatable and not score.whole:
            groups.setdefault((score.group.setting, score.group.scale), []).append(score)
    return {key: _values(members, metrics) for key, members in groups.items()}


def _values(scores: Sequence[Score], metrics: Sequence[str]) -> dict[str, Any]:
    images = sorted({image for score in scores for image in score.states})
    by_metric = {score.metric: score for score in scores}
    heads = {name: by_metric[name] for name in metrics if name in by_metric}
    methods: dict[str, dict[str, list[float | str | None]]] = {}
    for score in scores:
        methods.setdefault(score.label, {})[score.metric] = [_value(score, image) for image in images]
    return {
        "images": images,
        "metrics": [
            {"name": name, "unit": head.about.unit, "up": head.about.direction == "up", "decimals": head.about.decimals}
            for name, head in heads.items()
        ],
        # Half a 95 % interval of n differences is their standard deviation times this, by the root of n.
        "quantiles": [0.0, 0.0, *(round(t_quantile(0.975, n - 1), 4) for n in range(2, len(images) + 1))],
        "methods": methods,
    }


def _value(score: Score, image: str) -> float | str | None:
    if image in score.finite:
        value = score.finite[image]
        return round(value, score.about.decimals + FINER) if math.isfinite(value) else None
    return "∞" if score.states.get(image) == "infinite" else None

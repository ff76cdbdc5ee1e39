"""Tables as papers print them: methods as rows, data sets as columns, PSNR/SSIM in one cell, a block for each scale."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.tables.collecting import scores
from rescale_bench.tables.fitting import kept_columns
from rescale_bench.tables.leaderboard import PRIMARY
from rescale_bench.tables.model import (
    INCOMPLETE,
    MISSING,
    NOT_NATIVE,
    Leaderboard,
    Record,
    Row,
    Section,
    Table,
    TableCell,
    TableColumn,
    marked,
    method_cell,
    number_cell,
    scale_cell,
)
from rescale_bench.tables.notes import WRAPPED, absent, incomplete, left_out, row_notes
from rescale_bench.tables.rows import choose_metrics, prepare
from rescale_bench.tables.scores import Score, Setting, best_first

if TYPE_CHECKING:
    import pandas as pd

PARTNERS = {"psnr_y": "ssim_y", "psnr_rgb": "ssim_rgb"}
"""What stands behind the slash where nobody names metrics."""
PARAMETERS = "params"
DECIBEL_DIGITS = 2
"""Papers print two decimals of a decibel."""


@dataclass(frozen=True)
class PrintedNumber:
    """A number that a paper printed, to stand in a table beside measured ones."""

    method: str
    """What the paper calls the method."""
    same: str
    """Equal for what several papers mean by different names: our name for it where we have one."""
    source: str
    """Paper and table: "IRN Table 1"."""
    protocol: str
    """Ours that it was measured under, or "unstated"."""
    dataset: str
    scale: str
    metric: str
    text: str
    """With the digits that were printed."""
    parameters: str
    """As printed, "" where the table has none."""
    images: int
    """That the number is a mean over, 0 where unknown."""
    codecs: frozenset[str]
    """The measured ones through which the upscaler saw the LR as the paper's did."""


@dataclass(frozen=True)
class PrintedRow:
    """What papers that do not contradict each other printed of one method at one scale."""

    method: str
    sources: tuple[str, ...]
    parameters: str
    numbers: Mapping[tuple[str, str], PrintedNumber]
    """(data set, metric) → number."""


def paper_board(
    frame: pd.DataFrame, metrics: Sequence[str] | None = None, printed: Sequence[PrintedNumber] = ()
) -> Leaderboard:
    """Average a run's tidy rows and lay them out as papers do, one table per protocol and codec.

    metrics: share a cell, in that order; PSNR and SSIM by default. printed: added below the measured rows of the same
    data sets, scales and metrics; they take no part in best and second.
    Raises UsageError when there are no rows, UnknownNameError for metrics that the run lacks.
    """
    rows = prepare(frame)
    names = choose_metrics(rows, metrics or _usual(rows))
    found = scores(rows[rows["metric"].isin([*names, PARAMETERS])], "")
    sections: list[Section] = []
    records: list[Record] = []
    pages: dict[Setting, list[Score]] = {}
    for score in found:
        pages.setdefault(dataclasses.replace(score.group.setting, dataset=""), []).append(score)
    for setting, members in pages.items():
        page = _Page(setting, members, names, printed)
        sections.append(page.section())
        records.extend(page.records())
    shown = tuple(score for score in found if score.metric in names)
    return Leaderboard(tuple(sections), tuple(records), shown)


def _usual(rows: pd.DataFrame) -> list[str] | None:
    held = set(rows["metric"])
    first = next((name for name in PRIMARY if name in held), None)
    return None if first is None else [name for name in (first, PARTNERS.get(first, "")) if name in held]


class _Page:
    """One protocol and codec."""

    def __init__(
        self, setting: Setting, members: Sequence[Score], names: Sequence[str], printed: Sequence[PrintedNumber]
    ) -> None:
        """Sort the scores. members: of the metrics `names`, and of the parameters."""
        self.scores = [score for score in members if score.metric in names]
        self.metrics = [name for name in names if any(score.metric == name for score in self.scores)]
        # A data set's own order: the one of the fewest images first, as Set5, Set14, BSD100.
        sizes = {score.group.dataset: score.images for score in self.scores}
        self.datasets = sorted(sizes, key=lambda name: (sizes[name], name))
        self.sizes = sizes
        self.setting = dataclasses.replace(setting, dataset=", ".join(self.datasets))
        self.scales = sorted({score.group.scale for score in self.scores}, key=Decimal)
        self.at = {(s.group.scale, s.label, s.group.dataset, s.metric): s for s in self.scores}
        self.parameters = {(s.group.scale, s.label): s.mean for s in members if s.metric == PARAMETERS}
        self.heads = {score.metric: score.about for score in self.scores}
        self.numbers = self._fitting(printed)
        self.cited = {name: place for place, name in enumerate(dict.fromkeys(n.source for n in self.numbers), start=1)}
        self.printed = {
            scale: self._best_first(_joined_papers([number for number in self.numbers if number.scale == scale]))
            for scale in self.scales
        }

    def _fitting(self, printed: Sequence[PrintedNumber]) -> list[PrintedNumber]:
        names = {dataset.partition("@")[0] for dataset in self.datasets}
        return [
            number
            for number in printed
            if number.scale in self.scales
            and number.dataset in names
            and number.metric in self.metrics
            and self.setting.codec in number.codecs
        ]

    def _best_first(self, rows: Sequence[PrintedRow]) -> list[PrintedRow]:
        key = self.datasets[0].partition("@")[0], self.metrics[0]
        sign = 1 if self.heads[key[1]].direction == "down" else -1

        def place(row: PrintedRow) -> tuple[bool, float]:
            number = row.numbers.get(key)
            return number is None, sign * float(number.text) if number else 0.0

        return sorted(rows, key=place)

    def section(self) -> Section:
        """Lay the table out."""
        columns = [TableColumn("scale", priority=0), TableColumn("method", "text", priority=0)]
        columns.append(TableColumn("parameters", priority=500))
        for dataset in self.datasets:
            columns += [
                TableColumn(dataset, "number", name, about.direction, about.unit, about.decimals, priority=1)
                for name in self.metrics
                for about in [self.heads[name]]
            ]
        table = marked(Table("", tuple(columns), tuple(self._rows())))
        table = _slashed(table, 3, len(self.metrics), "/".join(self.metrics))
        if not any(row.cells[2].text not in ("", MISSING) for row in table.rows):
            table = kept_columns(table, [place for place in range(len(table.columns)) if place != 2])
        return Section(self.setting, (table,), tuple(self._notes(table)))

    def _rows(self) -> Iterator[Row]:
        for scale in self.scales:
            trained = {score.label: score.trained for score in self.scores if score.group.scale == scale}
            leading = {
                label: score
                for label in trained
                if (score := self.at.get((scale, label, self.datasets[0], self.metrics[0])))
            }
            for place, label in enumerate(best_first(trained, leading)):
                yield Row(
                    (scale_cell(scale) if place == 0 else TableCell(""), *self._measured(scale, label)),
                    label, scale, trained[label], ruled=place == 0 and scale != self.scales[0],
                )  # fmt: skip
            for row in self.printed[scale]:
                yield Row((TableCell(""), *self._as_printed(row)), row.method, scale)

    def _measured(self, scale: str, label: str) -> Iterator[TableCell]:
        mine = [score for key, score in self.at.items() if key[:2] == (scale, label)]
        ceiling = " (ceiling)" if any(score.ceiling for score in mine) else ""
        yield method_cell(label, NOT_NATIVE if any(not score.native for score in mine) else "", ceiling)
        yield TableCell(_short(self.parameters.get((scale, label))))
        for dataset in self.datasets:
            for metric in self.metrics:
                yield _value(self.at.get((scale, label, dataset, metric)))

    def _as_printed(self, row: PrintedRow) -> Iterator[TableCell]:
        yield TableCell(f"{row.method} [{','.join(map(str, sorted(self.cited[source] for source in row.sources)))}]")
        yield TableCell(row.parameters or MISSING)
        for dataset in self.datasets:
            for metric in self.metrics:
                number = row.numbers.get((dataset.partition("@")[0], metric))
                yield TableCell(number.text, float(number.text)) if number else TableCell(MISSING)

    def _notes(self, table: Table) -> Iterator[str]:
        counts = ", ".join(f"{name} {self.sizes[name]}" for name in self.datasets)
        arrows = {"up": " ↑", "down": " ↓", "none": ""}
        what = "/".join(
            f"{name}{arrows[self.heads[name].direction]}{f' [{unit}]' if (unit := self.heads[name].unit) else ''}"
            for name in self.metrics
        )
        yield f"Each cell: {what}, means over the images ({counts})."
        if any(not score.native for score in self.scores):
            yield WRAPPED
        yield from row_notes(self.scores)
        if any(part.text == MISSING for row in table.rows for cell in row.cells[2:] for part in cell.parts or (cell,)):
            yield f"{MISSING}: not measured, or not printed."
        if any(incomplete(score) for score in self.scores):
            yield f"{INCOMPLETE} not measured on all images that others were measured on; a mean would not compare."
        for dataset in self.datasets:
            mine = [score for score in self.scores if score.group.dataset == dataset]
            notes = (*absent(mine), *left_out(mine, "infinite"), *left_out(mine, "undefined"))
            yield from (f"{dataset}: {note}" for note in dict.fromkeys(notes))
        yield from self._citations()

    def _citations(self) -> Iterator[str]:
        if self.cited:
            yield "Rows with [n] are published, not measured here; they take no part in best and second."
        for source, place in self.cited.items():
            protocols = sorted({number.protocol for number in self.numbers if number.source == source})
            yield f"[{place}] {source}; protocol of its rows: {', '.join(protocols)}."
        for dataset in self.datasets:
            theirs = {each.images for each in self.numbers if each.dataset == dataset.partition("@")[0]} - {0}
            if theirs - {self.sizes[dataset]}:
                papers = " or ".join(map(str, sorted(theirs)))
                yield (
                    f"{dataset}: {self.sizes[dataset]} images here, {papers} in the papers; "
                    "the two kinds of rows do not compare."
                )

    def records(self) -> Iterator[Record]:
        """Give a line for each number."""
        for (scale, label, dataset, metric), score in self.at.items():
            yield self._record(scale, label, "measured", dataset, metric, score.mean, score.ranked)
        for scale, rows in self.printed.items():
            for row in rows:
                for (dataset, metric), number in row.numbers.items():
                    yield self._record(scale, row.method, number.source, dataset, metric, float(number.text), False)

    def _record(
        self, scale: str, method: str, source: str, dataset: str, metric: str, value: float | None, ranked: bool
    ) -> Record:
        return {
            "protocol": self.setting.protocol, "protocol_version": self.setting.protocol_version,
            "codec": self.setting.codec, "scale": scale, "method": method, "source": source, "dataset": dataset,
            "metric": metric, "value": value, "ranked": ranked,
        }  # fmt: skip


def _value(score: Score | None) -> TableCell:
    if score is None or score.mean is None:
        return TableCell(MISSING)
    if incomplete(score):
        return TableCell(MISSING, signs=INCOMPLETE)
    digits = DECIBEL_DIGITS if score.about.unit == "dB" else score.about.decimals
    return number_cell(score.mean, digits, score.ranked)


def _short(count: float | None) -> str:
    """Write a number of parameters in three digits: 1.66M, 57.3k."""
    if count is None:
        return MISSING
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:.3g}{letter}"
    return f"{count:.0f}"


def _joined_papers(numbers: Sequence[PrintedNumber]) -> list[PrintedRow]:
    """Join what several tables printed of one method, as long as no number differs."""
    rows: list[PrintedRow] = []
    tables: dict[tuple[str, str], list[PrintedNumber]] = {}
    for number in numbers:
        tables.setdefault((number.same, number.source), []).append(number)
    for (same, source), members in tables.items():
        mine = {(number.dataset, number.metric): number for number in members}
        parameters = members[0].parameters
        for place, row in enumerate(rows):
            first = next(iter(row.numbers.values()))
            if first.same == same and all(row.numbers.get(key, one).text == one.text for key, one in mine.items()):
                name = min(row.method, members[0].method, key=len)
                rows[place] = PrintedRow(
                    name, (*row.sources, source), max(row.parameters, parameters, key=len), {**mine, **row.numbers}
                )
                break
        else:
            rows.append(PrintedRow(members[0].method, (source,), parameters, mine))
    return rows


def _slashed(table: Table, start: int, count: int, below: str) -> Table:
    """Join each `count` columns from `start` on into one whose cells hold several parts."""
    places = range(start, len(table.columns), count)
    columns = [dataclasses.replace(table.columns[place], direction="none", unit="", below=below) for place in places]
    rows = [
        dataclasses.replace(
            row, cells=(*row.cells[:start], *(_parts(row.cells[place : place + count]) for place in places))
        )
        for row in table.rows
    ]
    return dataclasses.replace(table, columns=(*table.columns[:start], *columns), rows=tuple(rows))


def _parts(cells: tuple[TableCell, ...]) -> TableCell:
    if len(cells) == 1 or all(cell == cells[0] and cell.text == MISSING for cell in cells):
        return cells[0]
    return dataclasses.replace(cells[0], text="/".join(cell.text for cell in cells), parts=cells)

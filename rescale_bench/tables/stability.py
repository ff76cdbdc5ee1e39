"""What is left of a ranking when something happens to the LR: means by strength, and where methods fall behind.

A run with `--damage` is a grid of damages × methods. Damages that differ in strength alone are a family (jpeg:95:444,
jpeg:90:444, …); each method is followed through a family from nothing to the strongest.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from rescale_bench.api.registry import Registry
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.statistics.paired import PairedDifference, paired_difference
from rescale_bench.tables.collecting import scores
from rescale_bench.tables.model import (
    MISSING,
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
)
from rescale_bench.tables.rendering import json_value
from rescale_bench.tables.rows import choose_metrics, prepare
from rescale_bench.tables.scores import Group, Score, Setting, best_first, reference_of
from rescale_bench.tables.sweep import metric_column

if TYPE_CHECKING:
    import pandas as pd

METHOD = TableColumn("method", "text", priority=0)
NONE = "none"
"""How the undamaged LR is called."""
UNSURE = "≈"
FALLS = (
    "Falls below: the first of the measured strengths at which the method's mean is worse than the reference's under "
    "the same damage; start: without damage already; –: at none of them."
)
UNSURE_NOTE = f"{UNSURE}: the 95 % paired t-interval of that difference holds 0."
RANKS = (
    "tau: Kendall's tau-b of the methods' means with and without the damage, 1 where the order is the same; "
    "swapped: pairs of methods whose order is reversed."
)


@dataclass(frozen=True)
class Family:
    """Damages that differ in strength alone, the mildest first.

    title: "jpeg (subsampling=444)". strength: what the number is ("quality"), "" where the damages have no number.
    steps: each strength as printed, with the damage as the rows have it.
    """

    title: str
    strength: str
    steps: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grid:
    """The scores of one metric, data set, scale and codec. at: damage → label of a method → its score.

    left_out: methods whose values are not of the same images, and under which damage.
    """

    group: Group
    at: Mapping[str, Mapping[str, Score]]
    families: tuple[Family, ...]
    left_out: tuple[str, ...] = ()

    @property
    def first(self) -> Score:
        """Any score: what it says of the metric holds for all."""
        return next(iter(self.at[""].values()))

    @property
    def labels(self) -> list[str]:
        """The methods, the best without damage first."""
        return best_first({label for scored in self.at.values() for label in scored}, self.at[""])

    @property
    def ladders(self) -> list[Family]:
        """The families whose damages have an order."""
        return [family for family in self.families if family.strength]

    def mean(self, damage: str, label: str) -> float | None:
        """Give a mean, None where there is none over all images."""
        score = self.at[damage].get(label)
        return None if score is None else score.mean

    def difference(self, damage: str, label: str, reference: str) -> PairedDifference | None:
        """Compare two methods under one damage; None where either lacks finite values of the same images."""
        pair = [self.at[damage].get(name) for name in (label, reference)]
        if any(score is None or not score.finite for score in pair):
            return None
        mine, theirs = (score.finite for score in pair if score)
        return paired_difference(mine, theirs, self.first.about.direction) if mine.keys() == theirs.keys() else None


@dataclass(frozen=True)
class Fall:
    """Where one method falls below a reference within a family.

    step: place in the family's steps, -1 for without damage, None where it does not. difference: there.
    """

    label: str
    reference: str
    family: Family
    step: int | None
    difference: PairedDifference | None

    @property
    def text(self) -> str:
        """Write the strength."""
        if self.step is None:
            return MISSING
        return "start" if self.step < 0 else self.family.steps[self.step][0]

    @property
    def unsure(self) -> bool:
        """Whether the interval of the difference does not exclude 0."""
        found = self.difference
        return found is not None and not (found.low > 0 or found.high < 0)


def grids(frame: pd.DataFrame, registry: Registry, metric: str = "psnr_y") -> list[Grid]:
    """Average the rows of a run with damages, by protocol, data set, codec and scale.

    registry: knows how strong a damage is. Raises UsageError where nothing is damaged, or nothing is not;
    UnknownNameError for a metric that the run lacks.
    """
    from rescale_bench.runs.table import complete

    rows = complete(frame)
    rows = rows[rows["image"].astype(str) != ""]
    texts = rows["damage"].astype(str)
    damages = sorted(set(texts) - {""})
    if not damages:
        raise UsageError("nothing happens to the LR in this run: run it with --damage none,jpeg:90:444 or others")
    if not (texts == "").any():
        raise UsageError("the run has damaged LR images alone: run it again with none among --damage")
    found: dict[Group, dict[str, dict[str, Score]]] = {}
    for damage in ("", *damages):
        # Without its damage a method has one label throughout.
        part = prepare(rows[texts == damage].assign(damage=""))
        name = choose_metrics(part, [metric])[0]
        for score in scores(part[part["metric"] == name].reset_index(drop=True), reference=""):
            found.setdefault(score.group, {}).setdefault(damage, {})[score.label] = score
    held = (item for item in sorted(found.items(), key=lambda item: item[0].order) if "" in item[1])
    return [_grid(group, at, registry) for group, at in held]


def _grid(group: Group, at: Mapping[str, Mapping[str, Score]], registry: Registry) -> Grid:
    images = frozenset().union(*(score.scorable for scored in at.values() for score in scored.values()))
    kept: dict[str, dict[str, Score]] = {}
    left_out = []
    for damage, scored in at.items():
        kept[damage] = {label: score for label, score in scored.items() if score.finite.keys() == images}
        left_out += [f"{label} under {damage or NONE}" for label in scored if label not in kept[damage]]
    return Grid(group, kept, families([damage for damage in at if damage], registry), tuple(left_out))


def families(damages: Iterable[str], registry: Registry) -> tuple[Family, ...]:
    """Put damages that differ in strength alone together, and those without others like them into one at the end."""
    found: dict[tuple[str, str], list[tuple[float, str, str]]] = {}
    for damage in damages:
        title, strength, order, value = _placed(damage, registry)
        found.setdefault((title, strength), []).append((order, value, damage))
    several = {key: sorted(steps) for key, steps in sorted(found.items()) if len(steps) > 1}
    made = [Family(*key, tuple((value, damage) for _, value, damage in steps)) for key, steps in several.items()]
    single = sorted(steps[0][2] for key, steps in found.items() if key not in several)
    return (*made, *[Family("single damages", "", tuple((damage, damage) for damage in single))] * bool(single))


def _placed(damage: str, registry: Registry) -> tuple[str, str, float, str]:
    """Say of a damage: the title of its family, what its strength is, how strong it is, and the strength as text."""
    try:
        *before, last = registry.choose_damage(damage)
    except UnknownNameError:  # of a plugin that is absent
        return damage, "", 0.0, damage
    option = next(iter(last.record.options), None)
    if option is None or isinstance(option.default, (str, bool)):
        return damage, "", 0.0, damage
    value, neutral = float(last.options[option.name]), float(last.record.neutral)
    others = [f"{each.name}={last.options[each.name]}" for each in last.record.options[1:]
              if last.options[each.name] != each.default]  # fmt: skip
    title = last.record.name + (f" ({', '.join(others)})" if others else "")
    both = math.isfinite(neutral) and (option.low is None or option.low < neutral)
    if both:
        title += f" {'above' if value > neutral else 'below'} {neutral:g}"
    order = value if value > neutral else -value
    return " + ".join([*(step.label for step in before), title]), option.name, order, f"{last.options[option.name]}"


def falls(grid: Grid, reference: str) -> list[Fall]:
    """Find for each method and family where it falls below a reference, given by its label."""
    sign = -1 if grid.first.about.direction == "down" else 1
    found = []
    for label in grid.labels:
        for family in grid.ladders if label != reference else ():
            steps = [(-1, ""), *((place, damage) for place, (_, damage) in enumerate(family.steps))]
            below = ((place, gap) for place, damage in steps
                     if (gap := grid.difference(damage, label, reference)) and sign * gap.mean < 0)  # fmt: skip
            found.append(Fall(label, reference, family, *next(below, (None, None))))
    return found


@dataclass(frozen=True)
class Stability:
    """How the order of the methods holds under one damage.

    tau: Kendall's tau-b to the order without damage, None for less than two methods, or where all means are equal.
    swapped: pairs in reversed order, of pairs. best: label of the first method.
    """

    damage: str
    tau: float | None
    swapped: int
    pairs: int
    best: str


def stabilities(grid: Grid) -> list[Stability]:
    """Compare the order of the methods under each damage with that without, over those that may be ranked."""
    return [_stability(grid, damage) for family in grid.families for _, damage in family.steps]


def _stability(grid: Grid, damage: str) -> Stability:
    from scipy.stats import kendalltau

    before, after = grid.at[""], grid.at[damage]
    shared = sorted(label for label in before.keys() & after.keys() if before[label].ranked and after[label].ranked)
    means = [(before[label].mean or 0.0, after[label].mean or 0.0) for label in shared]
    pairs = list(combinations(means, 2))
    swapped = sum((a - b) * (x - y) < 0 for (a, x), (b, y) in pairs)
    tau = float(kendalltau(*zip(*means, strict=True)).statistic) if pairs else math.nan
    best = best_first(shared, after)
    return Stability(damage, None if math.isnan(tau) else tau, swapped, len(pairs), best[0] if best else MISSING)


# --- tables ----------------------------------------------------------------------


def stability_board(found: Sequence[Grid], references: Sequence[str]) -> Leaderboard:
    """Lay grids out: means by family, falls below each reference, ranks. Raises UsageError without any reference."""
    held = {label for grid in found for label in grid.labels}
    if not any(reference_of(held, name) for name in references):
        raise UsageError(f"the run lacks {' and '.join(references)}; it has {', '.join(sorted(held))}", "reference")
    sections: dict[Setting, list[Section]] = {}
    for grid in found:
        sections.setdefault(grid.group.setting, []).append(_section(grid, references))
    merged = (
        Section(
            setting,
            tuple(table for part in parts for table in part.tables),
            tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        )
        for setting, parts in sections.items()
    )
    return Leaderboard(tuple(merged), tuple(record for grid in found for record in _records(grid, references)))


def _section(grid: Grid, references: Sequence[str]) -> Section:
    labels = [label for name in references if (label := reference_of(set(grid.labels), name))]
    fallen = {label: falls(grid, label) for label in labels}
    tables = (
        *(_means(grid, family) for family in grid.families),
        *(_falls_table(grid, label, fallen[label]) for label in labels if fallen[label]),
        *[_ranks_table(grid)] * (len(grid.labels) > 1),
    )
    unsure = any(fall.unsure for each in fallen.values() for fall in each)
    left_out = [f"Left out: {text}: no finite value on some images." for text in grid.left_out]
    explained = (*[FALLS] * any(fallen.values()), *[UNSURE_NOTE] * unsure, *[RANKS] * (len(grid.labels) > 1))
    return Section(grid.group.setting, tables, (*explained, *left_out))


def _title(grid: Grid, text: str) -> str:
    return f"×{grid.group.scale} · {text}"


def _means(grid: Grid, family: Family) -> Table:
    heads = [(NONE, ""), *family.steps]
    column = metric_column(grid.first, grid.group.scale)
    means = (dataclasses.replace(column, name=name) for name, _ in heads)
    rows = [
        Row((method_cell(label), *(_mean(grid, damage, label) for _, damage in heads)), label) for label in grid.labels
    ]
    by = f" by {family.strength}" if family.strength else ""
    text = f"{metric_column(grid.first).heading}, {family.title}{by}"
    return marked(Table(_title(grid, text), (METHOD, *means), tuple(rows)))


def _mean(grid: Grid, damage: str, label: str) -> TableCell:
    score = grid.at[damage].get(label)
    return number_cell(grid.mean(damage, label), grid.first.about.decimals, score is not None and score.ranked)


def _falls_table(grid: Grid, reference: str, fallen: Sequence[Fall]) -> Table:
    at = {(fall.label, fall.family): fall for fall in fallen}
    columns = (METHOD, *(TableColumn(family.title, scale=grid.group.scale) for family in grid.ladders))
    rows = [
        Row((method_cell(label), *(_fall(at[label, family]) for family in grid.ladders)), label)
        for label in grid.labels
        if label != reference
    ]
    return Table(_title(grid, f"falls below {reference} at"), columns, tuple(rows))


def _fall(fall: Fall) -> TableCell:
    return TableCell(fall.text, signs=UNSURE if fall.step is not None and fall.unsure else "")


def _ranks_table(grid: Grid) -> Table:
    columns = (
        TableColumn("damage", "text", priority=0),
        TableColumn("tau", priority=1),
        TableColumn("swapped", priority=2),
        TableColumn("best", "text", priority=3),
    )
    rows = tuple(
        Row((
            TableCell(each.damage), number_cell(each.tau, 2), TableCell(f"{each.swapped}/{each.pairs}", each.swapped),
            TableCell(each.best),
        ))
        for each in stabilities(grid)
    )  # fmt: skip
    return Table(_title(grid, "order of the methods, to that without damage"), columns, rows)


# --- records ---------------------------------------------------------------------


def stability_json(board: Leaderboard) -> str:
    """Write the records of a board as one object of lists: means, falls, ranks."""
    lists: dict[str, list[Record]] = {"means": [], "falls": [], "ranks": []}
    for record in board.records:
        lists[str(record["table"])].append(
            {name: json_value(value) for name, value in record.items() if name != "table"}
        )
    return json.dumps(lists, indent=1, ensure_ascii=False)


def _records(grid: Grid, references: Sequence[str]) -> Iterator[Record]:
    where = {**dataclasses.asdict(grid.group), "metric": grid.first.metric}
    for damage, scored in grid.at.items():
        for label, score in scored.items():
            yield {"table": "means", **where, "damage": damage, "method": label, "mean": score.mean,
                   "images": len(score.finite)}  # fmt: skip
    for name in references:
        against = reference_of(set(grid.labels), name)
        for fall in falls(grid, against) if against else ():
            yield {
                "table": "falls", **where, "reference": against, "method": fall.label, "family": fall.family.title,
                "strength": fall.text if fall.step is not None else None,
                "difference": getattr(fall.difference, "mean", None), "low": getattr(fall.difference, "low", None),
                "high": getattr(fall.difference, "high", None),
            }  # fmt: skip
    for each in stabilities(grid):
        yield {"table": "ranks", **where, **dataclasses.asdict(each)}

"""What a figure shows: the scores of one protocol, for the data sets, methods, scales and codecs asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.api.scales import parse_scale
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.plots.style import Style, styles
from rescale_bench.runs.table import as_text
from rescale_bench.tables.collecting import scores
from rescale_bench.tables.rows import choose_metrics, distinct, prepare
from rescale_bench.tables.scores import Score, reference_of

if TYPE_CHECKING:
    import pandas as pd

SEVERAL, USUAL = 4, (Decimal(2), Decimal(3), Decimal(4))
"""Figures with one panel per scale show the usual ones where a run has more than four and nobody chose."""


@dataclass(frozen=True)
class Options:
    """What a figure is asked to show; an empty list means all.

    metrics: up the y axis. methods: labels, or names without options and weights. scales: as texts.
    protocol: its name, needed where the rows hold several. reference: the method of paired differences.
    relative: draw differences to the reference. fidelity: the LR metric along the x axis of kind "lr".
    """

    metrics: Sequence[str] = ("psnr_y",)
    datasets: Sequence[str] = ()
    methods: Sequence[str] = ()
    scales: Sequence[str] = ()
    codecs: Sequence[str] = ()
    protocol: str = ""
    reference: str = "bicubic"
    relative: bool = False
    fidelity: str = "psnr_lr"


@dataclass(frozen=True)
class Selection:
    """The scores to draw and how.

    scores: of the chosen methods, all metrics asked for. styles: by method label, the same for every figure of a
    run. reference: the label it stands for, None where the run lacks it. codecs: in the rows shown.
    pixels: HR pixels by (data set, scale, image).
    """

    scores: Sequence[Score]
    styles: Mapping[str, Style]
    reference: str | None
    protocol: str
    codecs: Sequence[str]
    pixels: Mapping[tuple[str, str, str], float]

    @property
    def datasets(self) -> list[str]:
        """Data sets in the order of their names."""
        return list(dict.fromkeys(score.group.dataset for score in self.scores))

    @property
    def scales(self) -> list[str]:
        """Scales in rising order."""
        return sorted({score.group.scale for score in self.scores}, key=Decimal)

    def at(self, metric: str, dataset: str, scale: str | None = None) -> list[Score]:
        """Pick the scores of one metric and data set, at one scale or all."""
        return [
            score
            for score in self.scores
            if score.metric == metric and score.group.dataset == dataset and scale in (None, score.group.scale)
        ]

    def name(self, score: Score) -> str:
        """Name a method, with its codec where the figure holds several."""
        label = f"{score.label} (ceiling)" if score.ceiling and "ceiling" not in score.label else score.label
        return f"{label} · {score.group.codec}" if len(self.codecs) > 1 else label

    def metrics(self, wanted: Sequence[str]) -> list[str]:
        """List the metrics that wanted names found, in that order."""
        held = dict.fromkeys(score.metric for score in self.scores)
        return [name for base in wanted for name in held if base in (name, name.partition(":")[0].partition(" (")[0])]

    def title(self, metrics: Iterable[str]) -> str:
        """Name metrics for people: "PSNR on Y and SSIM on Y"."""
        known = {score.metric: score.about.title for score in self.scores}
        return " and ".join(known.get(metric, metric) for metric in metrics)

    def looks(self, found: Iterable[Score]) -> dict[str, Style]:
        """Give every name its style: its method's, or one of its own where a method comes with several codecs."""
        found = list(found)
        if len(self.codecs) > 1:
            ceilings = {self.name(score) for score in found if score.ceiling}
            return styles({self.name(score) for score in found}, None, ceilings)
        return {self.name(score): self.styles[score.label] for score in sorted(found, key=lambda one: one.label)}

    @property
    def subtitle(self) -> str:
        """Say how it was measured."""
        shown = f" · codec {self.codecs[0]}" if len(self.codecs) == 1 and self.codecs[0] else ""
        return f"protocol {self.protocol}{shown}"


def select(frame: pd.DataFrame, options: Options, extra: Sequence[str] = ()) -> Selection:
    """Choose and average the rows of a figure. extra: metrics needed besides those of the options.

    Raises UsageError where rows of several protocols are left, or none; UnknownNameError for names that the run lacks.
    """
    rows, protocol = placed_rows(frame, options)
    names = choose_metrics(rows, [*options.metrics, *extra])
    labels = sorted(rows["label"].unique())
    reference = reference_of(set(labels), options.reference)
    heads = rows.drop_duplicates("label")
    ceilings = set(heads.loc[as_text(heads["ceiling"]).str.lower().isin(("true", "1")), "label"])
    chosen = chosen_methods(rows, options.methods)
    rows = rows[rows["metric"].isin(names)]
    shown = rows[rows["label"].isin(chosen)]
    # The reference stays for the differences, also where it is not drawn.
    kept = rows[rows["label"].isin({*chosen, reference})]
    found = [score for score in scores(kept, options.reference) if score.label in chosen]
    if not found:
        raise UsageError("there is nothing to draw: no rows are left after --datasets, --methods, --scales, --codecs")
    return Selection(
        found, styles(labels, reference, ceilings), reference, protocol, sorted(shown["codec"].unique()), _pixels(shown)
    )  # fmt: skip


def placed_rows(frame: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, str]:
    """Prepare the rows of the data sets, codecs and scales asked for, of all methods; also names their protocol."""
    rows, protocol = _one_protocol(prepare(frame, sets=True), options.protocol)
    for column, wanted in (("dataset", options.datasets), ("codec", options.codecs)):
        rows = _filtered(rows, column, wanted)
    return _filtered(rows, "scale", [str(parse_scale(text)) for text in options.scales]), protocol


def _one_protocol(rows: pd.DataFrame, wanted: str) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    places, first = distinct(rows, ("protocol", "protocol_version"))
    pairs = list(rows[["protocol", "protocol_version"]].iloc[first].itertuples(index=False, name=None))
    texts = [f"{name} version {version}" for name, version in pairs]
    kept = [index for index, (name, _) in enumerate(pairs) if wanted in ("", name, texts[index])]
    if not kept:
        raise UnknownNameError("protocol of this run", wanted, set(texts))
    if len(kept) < len(pairs):
        rows = rows[pd.Series(places).isin(kept).to_numpy()]
    found = sorted(texts[index] for index in kept)
    if len(found) > 1:
        raise UsageError(
            f"the rows hold {len(found)} protocols, which never share axes: "
            f"choose one with --protocol ({', '.join(found)})"
        )
    return rows, found[0].removesuffix(" version ")


def _filtered(rows: pd.DataFrame, column: str, wanted: Sequence[str]) -> pd.DataFrame:
    if not wanted:
        return rows
    known = sorted(rows[column].unique())
    for name in wanted:
        if name not in known:
            raise UnknownNameError(f"{column} of this run", name, known)
    return rows[rows[column].isin(wanted)]


def chosen_methods(rows: pd.DataFrame, wanted: Sequence[str]) -> set[str]:
    """List the labels that names of methods mean, all where none is given. Raises UnknownNameError."""
    names: dict[str, set[str]] = {}
    first = distinct(rows, ("label", "method"))[1]
    for label, method in rows[["label", "method"]].iloc[first].itertuples(index=False, name=None):
        for name in (label, label.partition(" [")[0].partition(" {")[0], method):
            names.setdefault(name, set()).add(label)
    for name in wanted:
        if name not in names:
            raise UnknownNameError("method of this run", name, names)
    return set().union(*(names[name] for name in wanted)) if wanted else set(rows["label"].unique())


def _pixels(rows: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    first = rows.iloc[distinct(rows, ("dataset", "scale", "image"))[1]]
    first = first[first["image"] != ""]
    keys = zip(first["dataset"], first["scale"], first["image"], strict=True)
    return {
        key: float(height) * float(width)
        for key, height, width in zip(keys, first["height"], first["width"], strict=True)
    }


def usual_scales(selection: Selection, asked: Sequence[str]) -> tuple[list[str], str]:
    """Choose the scales that get a panel each, and the note that says which were passed over ("" for none)."""
    scales = selection.scales
    if asked or len(scales) <= SEVERAL:
        return scales, ""
    shown = [scale for scale in scales if Decimal(scale) in USUAL] or [scales[0], scales[-1]]
    return shown, f"Shown: {', '.join(f'×{s}' for s in shown)} of {len(scales)} scales; choose others with --scales."


def usable(score: Score) -> bool:
    """Tell whether a value is over the images that everybody was scored on, or infinite on all of them."""
    if score.mean is None:
        return False
    return score.covers or (not score.finite and math.isinf(score.mean))


def left_out(found: Iterable[Score], selection: Selection) -> list[str]:
    """Note the means that a figure leaves out, because they are over fewer images than the others'."""
    gone: dict[tuple[str, str, str, str], list[str]] = {}
    for score in found:
        if not usable(score):
            short = f"{len(score.finite)} of {len(score.everybody)} images"
            gone.setdefault((selection.name(score), score.metric, score.group.dataset, short), []).append(
                f"×{score.group.scale}"
            )
    return [
        f"Left out: {name} on {dataset} at {', '.join(scales)}: finite {metric} on {short}."
        for (name, metric, dataset, short), scales in gone.items()
    ]


def axis_title(score: Score, relative: bool = False, reference: str = "") -> str:
    """Label an axis with metric, unit and the direction that is better: "PSNR on Y [dB] ↑ better"."""
    arrow = {"up": " ↑ better", "down": " ↓ better", "none": ""}[score.about.direction]
    unit = f" [{score.about.unit}]" if score.about.unit else ""
    against = f" minus {reference}'s" if relative else ""
    return f"{score.about.title}{against}{unit}{arrow}"

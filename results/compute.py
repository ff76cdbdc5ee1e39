"""PSNR against compute: a figure and a table of results/equal-budget.md.

How long weights were trained, and from what they started, stands in the headers of the files that ship; what the first
weights reached, in results/first-budget.csv; what the papers did, in results/published. Learning curves are drawn of
each results/logs/NAME.csv: the lines with scores of the log.csv of a training.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rescale_bench.api.registry import load_registry
from rescale_bench.plots.style import RC, Style, styles
from rescale_bench.weights.choice import training_seconds
from rescale_bench.weights.stored import Listed

HERE = Path(__file__).parent
PLACE = SCALE, DATASET, METRIC = "2", "Set5", "psnr_y"
PAPERS = {
    "irn": ("IRN", "Table 1", "IRN"),
    "fgrn": ("FGRN", "Table 1", "FGRN"),
    "aidn": ("AIDN", "Table 1", "AIDN"),
    "car-edsr": ("CAR", "Table 1", "CAR & EDSR"),
    "bicubic+edsr-baseline": ("IRN", "Table 1", "Bicubic & EDSR"),
}
"""System → paper, table and row with its published score; of EDSR there is only that of the large network."""

NOTE = """Minutes are those of one CPU core, together with those of the weights that a training started from. Lines join
trainings of their own and are no learning curves. The published scores are those of the papers' full networks."""
CAR = """**Why `car-edsr` is level with `bicubic+edsr-baseline` at ×2, and not ahead**: kernels that adapt to the
content bring no gain in minutes, and the longer both learn together, the further the LR moves from the bicubic one
that EDSR began with, without a better score. Of the curves on the right, the one of 39 minutes together, after 13 of
EDSR alone, ends below the one of 5 minutes. Only the paper's order, 8 minutes together after the whole training of
EDSR, keeps what EDSR had. The gain of the paper took 10⁶ steps of 16 crops."""
TICKS = (1, 2, 5, 13, 26, 52, 104, 208, 416, 832)
"""Minutes on the axis: doubled from the first budget on."""


@dataclass(frozen=True)
class Trained:
    """Weights for ×2, and what they reach. minutes: of CPU, with those of the weights they started from."""

    system: str
    tag: str
    minutes: float
    steps: int
    score: float


def trained(weights: Iterable[tuple[str, Listed]], rows: pd.DataFrame) -> list[Trained]:
    """Join shipped weights (system, file) with a run's rows, and add the first ones; by system and minutes."""
    registry = load_registry()
    rows = rows[(rows["metric"] == METRIC) & (rows["scale"].astype(str) == SCALE) & (rows["dataset"] == DATASET)]
    means = rows[rows["status"] == "ok"].groupby(["method", "weights"], observed=True)["value"].mean()
    found: dict[tuple[str, str], Trained] = {}
    for system, file in weights:
        if (system, file.tag) in means and (file.part.endswith(f"x{SCALE}") or file.part == "any"):
            spent = training_seconds(file.path, registry) or 0.0
            entry = Trained(system, file.tag, spent / 60, int(file.metadata["steps"]), float(means[system, file.tag]))
            found[system, file.tag] = entry
    entries = [*first(), *found.values()]
    return sorted(entries, key=lambda entry: (list(PAPERS).index(entry.system), entry.minutes))


def first() -> list[Trained]:
    """Read what the first weights reached."""
    rows = pd.read_csv(HERE / "first-budget.csv", dtype={"scale": str})
    rows = rows[(rows["scale"] == SCALE) & (rows["dataset"] == DATASET)]
    return [Trained(row.system, "small", row.minutes, row.steps, row.psnr_y) for row in rows.itertuples()]


def published() -> dict[str, float]:
    """Read what the papers reached: system → dB."""
    with (HERE / "published" / "tables.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["scale"], row["dataset"], row["metric"]) == PLACE]
    printed = {(row["source"], row["table"], row["method"]): float(row["value"]) for row in rows}
    return {system: printed[key] for system, key in PAPERS.items()}


def curves() -> dict[str, pd.DataFrame]:
    """Read the validations in logs of trainings: name → seconds and the PSNR of held-out crops."""
    found = {}
    for path in sorted((HERE / "logs").glob("*.csv")):
        log = pd.read_csv(path)
        columns = [name for name in log.columns if name.startswith(METRIC)]
        if columns:
            found[path.stem] = log[["seconds", columns[0]]].dropna().set_axis(["seconds", "score"], axis="columns")
    return found


def curve_notes() -> str:
    """Say in Markdown what the learning curves are, and where each ends; "" without one."""
    ends = [(name, log.iloc[-1]) for name, log in curves().items()]
    listed = "".join(f"- `{name}`: {end.score:.2f} dB after {end.seconds / 60:.0f} minutes\n" for name, end in ends)
    lead = "On the right: learning curves, without the minutes of weights that a training started from.\n"
    listed += f"\n{CAR}\n"
    return f"{lead}\n{listed}" if listed else ""


def table(entries: Sequence[Trained]) -> str:
    """Write the table in Markdown."""
    papers = published()
    lines = [
        f"| system | tag | CPU minutes | steps | Y-PSNR, {DATASET} ×{SCALE} | published |",
        "|---|---|---:|---:|---:|---|",
    ]
    for entry in entries:
        source, place, row = PAPERS[entry.system]
        lines.append(
            f"| {entry.system} | {entry.tag} | {entry.minutes:.1f} | {entry.steps:,} | {entry.score:.2f} | "
            f"{papers[entry.system]:.2f} ({source}, {place}, {row}) |"
        )
    return "\n".join(lines)


def draw(entries: Sequence[Trained], target: Path) -> None:
    """Draw scores over minutes, published ones as lines, and the learning curves beside them if there are any."""
    looks, logs = styles(PAPERS, "bicubic"), curves()
    with mpl.rc_context(RC):
        figure = Figure(figsize=(10 if logs else 6, 4.2), layout="constrained")
        axes = figure.subplots(1, 1 + bool(logs), squeeze=False, width_ratios=[1.5, 1][: 1 + bool(logs)])[0]
        _scores(axes[0], entries, looks)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(PAPERS), frameon=False)
        if logs:
            _logs(axes[1], logs)
        figure.savefig(target, dpi=130)


def _scores(axes: Axes, entries: Sequence[Trained], looks: Mapping[str, Style]) -> None:
    for system in PAPERS:
        points = [(entry.minutes, entry.score) for entry in entries if entry.system == system]
        if points:
            look = looks[system]
            axes.plot(*zip(*points, strict=True), color=look.colour, marker=look.marker, ls=look.line, label=system)
    axes.set_xscale("log")
    minutes = [entry.minutes for entry in entries]
    axes.set_xlim(min(minutes) / 1.2, max(minutes) * 1.2)
    axes.set_xticks(ticks := [tick for tick in TICKS if min(minutes) / 1.2 < tick < max(minutes) * 1.2], ticks)
    axes.set_xticks([], minor=True)
    papers = published()
    low, high = axes.get_ylim()
    high = max(high, *papers.values()) + 0.4
    axes.set_ylim(low, high)
    above, gap = high + 1, (high - low) / 24
    for system, score in sorted(papers.items(), key=lambda item: -item[1]):
        axes.axhline(score, color=looks[system].colour, lw=0.8, ls=(0, (1.4, 2)))
        above = min(score, above - gap)
        text = "{2}: {3:.2f} ({0}, {1})".format(*PAPERS[system], score)
        axes.annotate(
            text, (1, above), (4, 0), ("axes fraction", "data"), "offset points", va="center", size="small",
            color=looks[system].ink,
        )  # fmt: skip
    axes.set(
        title="After training, and as published (dotted)", xlabel="minutes of one CPU core",
        ylabel=f"PSNR of Y [dB], {DATASET} ×{SCALE}",
    )  # fmt: skip


def _logs(axes: Axes, logs: Mapping[str, pd.DataFrame]) -> None:
    for name, log in logs.items():
        axes.plot(log["seconds"] / 60, log["score"], marker=".", label=name)
    axes.set(title="While training", xlabel="minutes of one CPU core", ylabel="PSNR of Y [dB], held-out crops")
    axes.legend(loc="lower right", fontsize="small", frameon=False)

"""Measure and draw the figure of the README's first page: docs/images/overview.png.

    RESCALE_BENCH_DATA=../shared/datasets python results/overview.py [RUNS_FOLDER]

Left: PSNR over scale, with what JPEG XL reaches with the bytes of the bicubic LR. Right: ×2, the LR saved as JPEG. The
runs resume, so a second call measures only what is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from equal_budget import HERE, command
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rescale_bench.plots.style import GREY, RC, styles
from rescale_bench.runs.folder import read_table

NAME = "overview"
FIGURE = HERE.parent / "docs" / "images" / f"{NAME}.png"
SCALES = "1.1,1.3,1.5,1.7,1.9,2,2.1,2.5,3,3.4,4"
CEILING = "ceiling-jxl"
SYSTEMS = ("aidn", "irn-type3", "bicubic+edsr-baseline", "bicubic")
JPEGS = ("none", "jpeg:98:444", "jpeg:95:444", "jpeg:90:444", "jpeg:80:444", "jpeg:70:444")
LOOKS = {name.partition(":")[0]: style for name, style in styles([*SYSTEMS, CEILING], "bicubic").items()}


def means(run: str) -> pd.DataFrame:
    """Average PSNR over the images of a run."""
    rows = read_table(Path(run))
    rows = rows[(rows["metric"] == "psnr_y") & (rows["status"] == "ok") & (rows["codec"] == "png")]
    rows = rows.assign(scale=rows["scale"].astype(float))
    return rows.groupby(["method", "scale", "damage"], observed=True)["value"].mean().reset_index()


def label(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Write the names of methods right of the ends of their lines, apart from each other."""
    low, high = axes.get_ylim()
    gap, above = (high - low) / 18, high
    axes.set_ylim(low - 2.5 * gap, high)
    for name, (x, y) in sorted(ends.items(), key=lambda item: -item[1][1]):
        above = min(y, above - gap)
        axes.annotate(name, (x, above), (7, 0), textcoords="offset points", va="center", color=LOOKS[name].ink)


def draw(sweep: pd.DataFrame, damaged: pd.DataFrame) -> None:
    """Draw both panels."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        rows = sweep[sweep["method"] == CEILING]
        left.plot(rows["scale"], rows["value"], color=GREY, linestyle=(0, (1.4, 1.4)))
        left.annotate("JPEG XL of the picture itself\nin as many bytes", (2.05, 50.5), color=GREY)
        places = list(range(len(JPEGS)))
        ends, bottom = {}, {}
        for name in SYSTEMS:
            look, rows = LOOKS[name], sweep[sweep["method"] == name]
            style = look.line if len(rows) > 3 else ""
            left.plot(rows["scale"], rows["value"], color=look.colour, marker=look.marker, linestyle=style)
            ends[name] = (rows["scale"].iloc[-1], rows["value"].iloc[-1])
            found = damaged[damaged["method"] == name].set_index("damage")["value"]
            values = [found["" if one == "none" else one] for one in JPEGS]
            right.plot(places, values, color=look.colour, marker=look.marker, linestyle=look.line)
            bottom[name] = (places[-1], values[-1])
        left.set(title="Restored picture over scale", xlabel="scale", ylabel="PSNR of Y [dB], Set5", xlim=(1, 5.5))
        left.set_xticks([1, 2, 3, 4])
        words = [one.split(":")[1] if ":" in one else "PNG" for one in JPEGS]
        right.set(title="×2, the small picture saved as JPEG", xlabel="JPEG quality", xlim=(-0.3, 8.2))
        right.set_xticks(places, words)
        label(left, ends)
        label(right, bottom)
        figure.savefig(FIGURE, dpi=130)


def main(runs: Path) -> None:
    """Run, and draw."""
    sweep, damaged = str(runs / "sweep"), str(runs / "jpeg")
    quick = ("--metrics", "psnr_y", "-d", "Set5", "-q")
    command("run", "-m", f"bicubic,aidn,irn-type3,{CEILING}", "-s", SCALES, *quick, "-o", sweep)
    command("run", "-m", "bicubic+edsr-baseline", "-s", "2,3,4", *quick, "-o", sweep)
    command("run", "-m", ",".join(SYSTEMS), "-s", "2", "--damage", ",".join(JPEGS), *quick, "-o", damaged)
    draw(means(sweep), means(damaged))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("runs/overview"))

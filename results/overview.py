"""Measure and draw the figure of the README's first page: docs/images/overview.png.

    RESCALE_BENCH_DATA=../shared/datasets python results/overview.py [RUNS_FOLDER]

Left: PSNR over scale, with what JPEG XL reaches with the bytes of the bicubic LR. Right: ×2, the LR saved as JPEG. The
runs resume, so a second call measures only what is missing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from equal_budget import HERE, command
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rescale_bench.plots.style import RC, Style, styles
from rescale_bench.runs.folder import read_table

FIGURE = HERE.parent / "docs" / "images" / "overview.png"
SCALES = "1.1,1.3,1.5,1.7,1.9,2,2.1,2.5,3,3.4,4"
CEILING = "ceiling-jxl"
SYSTEMS = ("aidn", "irn-type3", "bicubic+edsr-baseline", "bicubic")
JPEGS = ("none", "jpeg:98:444", "jpeg:95:444", "jpeg:90:444", "jpeg:80:444", "jpeg:70:444")
LOOKS = {name.partition(":")[0]: style for name, style in styles([*SYSTEMS, CEILING], "bicubic").items()}


def means(run: str) -> pd.DataFrame:
    """Average PSNR over the images of a run; of two weights of a method, those that a run looks up first count."""
    rows = read_table(Path(run))
    rows = rows[(rows["metric"] == "psnr_y") & (rows["status"] == "ok")]
    rows = rows.assign(scale=rows["scale"].astype(float))
    found = rows.groupby(["method", "scale", "damage", "weights"], observed=True)["value"].mean().reset_index()
    return found.drop_duplicates(["method", "scale", "damage"])  # "pilot" comes before "small" here, too


def line(axes: Axes, x: list[float], y: list[float], name: str, look: Style, **more: str) -> None:
    """Draw a method and write its name at the end of its line."""
    axes.plot(x, y, color=look.colour, marker=look.marker, linestyle=look.line, label=name, **more)  # type: ignore[arg-type]  # matplotlib's own
    axes.annotate(name, (x[-1], y[-1]), (5, 0), textcoords="offset points", va="center", color=look.ink)


def draw(sweep: pd.DataFrame, damaged: pd.DataFrame) -> None:
    """Draw both panels."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        for name in (CEILING, *SYSTEMS):
            rows = sweep[sweep["method"] == name]
            if name == CEILING:
                left.plot(rows["scale"], rows["value"], color="#595959", linestyle=(0, (1.4, 1.4)))
                left.annotate("JPEG XL of HR\nin as many bytes", (1.9, 51.5), color="#595959")
            elif len(rows) > 3:
                line(left, list(rows["scale"]), list(rows["value"]), name, LOOKS[name])
            else:
                left.plot(rows["scale"], rows["value"], color=LOOKS[name].colour, marker=LOOKS[name].marker, ls="")
                end = (rows["scale"].iloc[-1], rows["value"].iloc[-1])
                left.annotate(name, end, (5, 0), textcoords="offset points", va="center", color=LOOKS[name].ink)
        left.set(title="Restored picture over scale", xlabel="scale", ylabel="PSNR of Y [dB], Set5", xlim=(1, 5.4))
        left.set_xticks([1, 2, 3, 4])
        places = range(len(JPEGS))
        for name in SYSTEMS:
            rows = damaged[damaged["method"] == name].set_index("damage")["value"]
            line(right, list(places), [rows["" if one == "none" else one] for one in JPEGS], name, LOOKS[name])
        words = [one.split(":")[1] if ":" in one else "PNG" for one in JPEGS]
        right.set(title="The small picture is saved as JPEG (×2)", xlabel="JPEG quality", xlim=(-0.3, 7.6))
        right.set_xticks(list(places), words)
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

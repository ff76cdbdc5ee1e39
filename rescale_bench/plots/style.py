"""What lines and markers look like: safe for colour-blind readers, and told apart in black-and-white print too."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

# Okabe and Ito's palette (2008) without its yellow, which is lost on white paper; black is the reference's.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("s", "^", "D", "v", "P", "X", "o")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.6), (1.4, 1.4), (6, 1.5, 1.4, 1.5))
REFERENCE = "#000000"
GREY = "#595959"

SMALL, BASE, LARGE = 7.0, 8.0, 10.5
"""Text sizes in points."""

FONT = "DejaVu Sans"
"""Comes with matplotlib, so that figures do not depend on the machine."""

RC: dict[Any, Any] = {
    "font.family": [FONT],
    "font.size": BASE,
    "axes.titlesize": BASE + 0.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": BASE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "lines.scale_dashes": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # Names of data sets and methods may hold a $; none of ours is a formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "rescale-bench",
}
"""Settings that hold while a figure is drawn and written."""


@dataclass(frozen=True)
class Style:
    """How one method is drawn. colour: of lines and markers. ink: of its name, dark enough to read on white."""

    colour: str
    marker: str
    dashes: tuple[float, ...]

    @property
    def ink(self) -> str:
        """A shade of the colour with a contrast of at least 4.5 on white (WCAG 2.1, 1.4.3)."""
        from matplotlib.colors import to_hex, to_rgb

        shade = to_rgb(self.colour)
        while _contrast_on_white(shade) < 4.5:
            shade = (shade[0] * 0.95, shade[1] * 0.95, shade[2] * 0.95)
        return to_hex(shade)

    @property
    def line(self) -> tuple[float, Any]:
        """The dashes as matplotlib takes them."""
        return (0, self.dashes or None)


def styles(labels: Iterable[str], reference: str | None, ceilings: Collection[str] = ()) -> dict[str, Style]:
    """Give every method its look, by name, so that one run draws a method alike in all its figures.

    The reference is black, solid and round; ceilings are grey and differ in their dashes. 42 others differ in colour or
    marker.
    """
    found = {}
    others = sorted(label for label in set(labels) if label != reference and label not in ceilings)
    for index, label in enumerate(others):
        found[label] = Style(
            COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], DASHES[(index + 1) % len(DASHES)]
        )
    for index, label in enumerate(sorted(ceilings)):
        found[label] = Style(GREY, "_", DASHES[(index + 1) % len(DASHES)])
    if reference is not None:
        found[reference] = Style(REFERENCE, "o", ())
    return found


def _contrast_on_white(colour: tuple[float, float, float]) -> float:
    """Compute the contrast ratio with white from sRGB values in [0, 1] (WCAG 2.1, "relative luminance")."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)

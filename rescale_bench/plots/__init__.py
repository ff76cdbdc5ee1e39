"""Figures made from the tidy rows of a run, for screen and print.

Made with matplotlib's objects alone: nothing here touches pyplot or its global state.
"""

from rescale_bench.plots.direct import DirectCurve, born_as_jpeg, direct_jpeg_curve
from rescale_bench.plots.gaps import BdRow, Shown, bd_rows, bd_table, bd_text, rate_curves, shown_panels
from rescale_bench.plots.kinds import KINDS, VIEWS, figure, view
from rescale_bench.plots.output import save, svg
from rescale_bench.plots.references import References, reference_curves

__all__ = [
    "KINDS",
    "VIEWS",
    "BdRow",
    "DirectCurve",
    "References",
    "Shown",
    "bd_rows",
    "bd_table",
    "bd_text",
    "born_as_jpeg",
    "direct_jpeg_curve",
    "figure",
    "rate_curves",
    "reference_curves",
    "save",
    "shown_panels",
    "svg",
    "view",
]

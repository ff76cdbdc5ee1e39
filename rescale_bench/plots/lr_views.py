"""Pictures of the LR: where it differs from the bicubic one (AIDN, Fig. 8), and its spectrum (CAR, Fig. 6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import UsageError
from rescale_bench.plots.compose import Drawn, Panel, Plan
from rescale_bench.plots.examples import MOST_METHODS, Example, spread
from rescale_bench.plots.style import GREY, Style, styles

if TYPE_CHECKING:
    import numpy as np
    import torch
    from matplotlib.axes import Axes

    Plane = np.ndarray[Any, np.dtype[np.float64]]
    Draw = Callable[[Axes], Drawn]

HR, BICUBIC = "HR", "bicubic LR"
SHARE = 98.0
"""Percent of the pixels that lie inside the range of the colours."""
BINS = 48
"""Rings of a spectrum from 0 to 0.5 cycles per HR pixel."""


def plan_lr_difference(examples: Sequence[Example]) -> Plan:
    """Draw luma of LR minus luma of the bicubic LR: a row for each method, a column for each scale.

    Raises UsageError for too many methods.
    """
    import numpy as np

    labels, scales = _table(examples)
    shown = {(one.label, one.scale): one for one in examples if one.scale in scales}
    differences = {key: luma(one.lr) - luma(one.reference) for key, one in shown.items()}
    largest = max(float(np.percentile(np.abs(each), SHARE)) for each in differences.values())
    limit = max(1.0, float(np.ceil(largest)))
    panels = [Panel(f"{BICUBIC}, ×{scale}", image_panel(_first(examples, scale).reference)) for scale in scales]
    for label in labels:
        for scale in scales:
            found = differences.get((label, scale))
            title = f"{label}, ×{scale}"
            panels.append(Panel(title if found is not None else "", _difference(found, limit)))
    first = examples[0]
    notes = (
        f"LR minus bicubic LR on Y, in 8-bit levels: red is brighter, blue is darker, full colour at ±{limit:g}. "
        "White is equal.",
    )
    height, width = first.hr.shape[-2:]
    high = 1.75 * height / width
    # One scale alone stands in one row.
    columns = len(scales) if len(scales) > 1 else len(panels)
    return Plan("Difference of the LR to the bicubic LR", first.where, panels, columns, notes, {}, (1.75, high))


def plan_spectrum(examples: Sequence[Example]) -> Plan:
    """Draw the power spectrum of Y over frequency, a panel for each scale: of the HR, the bicubic LR and each LR.

    Powers are densities in dB (8-bit levels² per (cycle per HR pixel)²), so that an LR without aliasing lies on the HR
    up to its own limit, 0.5/s cycles per HR pixel. Raises UsageError for too many methods.
    """
    labels, scales = _table(examples)
    looks = {name: replace(style, marker="") for name, style in styles([*labels, BICUBIC], None).items()}
    looks[HR] = Style("#000000", "", ())
    panels = []
    for scale in scales:
        members = [one for one in examples if one.scale == scale]
        curves = {HR: spectrum(luma(members[0].hr), 1.0), BICUBIC: spectrum(luma(members[0].reference), float(scale))}
        curves |= {one.label: spectrum(luma(one.lr), float(scale)) for one in members if one.label != "bicubic"}
        panels.append(Panel(f"×{scale}", _spectra(curves, looks, float(scale))))
    used = {name: looks[name] for name in (HR, BICUBIC, *labels) if name != "bicubic"}
    notes = ("Mean power of rings of the 2-D spectrum under a Hann window. Dotted: the highest frequency of the LR.",)
    return Plan("Spectrum of LR and HR", examples[0].where, panels, min(3, len(panels)), notes, used, legend=True)


def luma(image: torch.Tensor) -> Plane:
    """Compute Y (BT.601) of uint8 (3, H, W), or take the only plane of (1, H, W), as float64 (H, W)."""
    from rescale_bench.images import color

    plane = color.luma(image) if image.shape[0] == 3 else image[0].double()
    found: Plane = plane.numpy()
    return found


def spectrum(plane: Plane, step: float) -> tuple[Plane, Plane]:
    """Average the power density of an image over rings of equal frequency.

    plane: (H, W). step: width of its pixels in HR pixels. Returns frequencies in cycles per HR pixel, and
    densities in dB.
    """
    import numpy as np

    height, width = plane.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2 * step**2 / (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)) / step
    edges = np.linspace(0, 0.5, BINS + 1)
    place = np.digitize(radius.ravel(), edges) - 1
    inside = radius.ravel() <= 0.5 / step
    counts = np.bincount(place[inside], minlength=BINS + 1)[:BINS]
    sums = np.bincount(place[inside], power.ravel()[inside], minlength=BINS + 1)[:BINS]
    middles = (edges[:-1] + edges[1:]) / 2
    # The first ring holds what the window makes of the mean.
    held = (counts > 0) & (np.arange(BINS) > 0) & (middles <= 0.5 / step)
    return middles[held], 10 * np.log10(sums[held] / counts[held])


def image_panel(image: torch.Tensor) -> Draw:
    """Draw uint8 (C, H, W)."""
    pixels = image.permute(1, 2, 0).numpy()

    def draw(axes: Axes) -> Drawn:
        axes.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray", vmin=0, vmax=255)
        axes.set_axis_off()
        return Drawn()

    return draw


def signed_panel(values: Plane, limit: float) -> Draw:
    """Draw a signed map (H, W): red above zero, blue below, white at zero."""

    def draw(axes: Axes) -> Drawn:
        axes.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_axis_off()
        return Drawn()

    return draw


def _difference(values: Plane | None, limit: float) -> Draw:
    if values is not None:
        return signed_panel(values, limit)

    def draw(axes: Axes) -> Drawn:
        axes.set_axis_off()
        return Drawn()

    return draw


def _spectra(curves: Mapping[str, tuple[Plane, Plane]], looks: Mapping[str, Style], scale: float) -> Draw:
    def draw(axes: Axes) -> Drawn:
        for name, (places, powers) in curves.items():
            axes.plot(places, powers, color=looks[name].colour, linestyle=looks[name].line)
        axes.axvline(0.5 / scale, color=GREY, linewidth=0.7, linestyle=":")
        axes.set_xlim(0, 0.5)
        axes.set_xlabel("cycles per HR pixel")
        axes.set_ylabel("power density of Y [dB]")
        return Drawn()

    return draw


def _table(examples: Sequence[Example]) -> tuple[list[str], list[Decimal]]:
    """List the methods but bicubic, which is the reference, and the scales that are shown."""
    labels = [label for label in dict.fromkeys(one.label for one in examples) if label != "bicubic"]
    if not labels:
        raise UsageError("there is nothing to compare with the bicubic LR: choose other methods with --methods")
    if len(labels) > MOST_METHODS:
        raise UsageError(f"{len(labels)} methods are too many to look at: choose {MOST_METHODS} with --methods")
    return labels, spread(sorted({one.scale for one in examples}))


def _first(examples: Sequence[Example], scale: Decimal) -> Example:
    return next(one for one in examples if one.scale == scale)

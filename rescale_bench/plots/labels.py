"""Names written beside the lines and points they belong to, without touching each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rescale_bench.plots.style import SMALL, Style

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation, Text
    from matplotlib.transforms import Bbox

WIDE = 20
"""Longer names break before their bracket."""
COLUMN = 1.05
"""Where the column of names right of the axes begins, in widths of the axes."""
MARKER = 4.5
"""Half the side of the box that a marker keeps free, in points."""
FAR = (6.0, 11.0, 18.0, 27.0)
"""Distances of a name from its point, in points; from the second on a thin line leads to it."""
GAP = 1.15
"""From one name to the next in a column, in heights of a name."""
OVER = 6.0
"""How far a name beside a point may reach over the top and right edges of its axes, in points."""


@dataclass(frozen=True)
class Anchor:
    """The place that a name belongs to, in data coordinates."""

    x: float
    y: float
    label: str
    style: Style


def broken(label: str) -> str:
    """Break a long name before its bracket or its codec: "irn" over "[random: not publishable]"."""
    if len(label) <= WIDE:
        return label
    return label.replace(" [", "\n[", 1).replace(" · ", "\n", 1)


def name_ends(axes: Axes, anchors: Sequence[Anchor]) -> list[Annotation]:
    """Write names right of the axes, each at the height of the end of its line, for the layout to make room."""
    return [_name(axes, anchor, (COLUMN, anchor.y), ("axes fraction", "data"), relpos=(0, 0.5)) for anchor in anchors]


def spread_ends(axes: Axes, names: Sequence[Annotation]) -> bool:
    """Move the names of a column apart. False where they do not fit beside the axes."""
    heights = [GAP * _box(name).height for name in names]
    frame, data = axes.get_window_extent(), axes.transData
    places = spread([float(data.transform(name.xy)[1]) for name in names], heights, frame.y0, frame.y1)
    if places is None:
        return False
    for name, place in zip(names, places, strict=True):
        name.xyann = (COLUMN, float(data.inverted().transform((0, place))[1]))
    return True


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float] | None:
    """Move centres as little as possible (least squares) until boxes of these heights do not overlap.

    low, high: where the lowest and the highest centre may be. None where the boxes do not fit. Centres less the
    heights below them must rise, which makes it an isotonic regression (Barlow and Brunk 1972).
    """
    import numpy as np
    from scipy.optimize import isotonic_regression

    if not wanted:
        return []
    order = np.argsort(wanted, kind="stable")
    tall = np.asarray(heights)[order]
    below = np.concatenate([[0], np.cumsum((tall[:-1] + tall[1:]) / 2)])
    if below[-1] > high - low:
        return None
    level = isotonic_regression(np.asarray(wanted)[order] - below).x.clip(low, high - below[-1])
    places = np.empty(len(order))
    places[order] = level + below
    return [float(place) for place in places]


def name_points(axes: Axes, anchors: Sequence[Anchor]) -> bool:
    """Write each name beside its point, off lines where there is room. False where one touches names or markers."""
    from matplotlib.transforms import Bbox

    if not anchors:
        return True
    pixels = axes.figure.dpi / 72
    spots = axes.transData.transform([(anchor.x, anchor.y) for anchor in anchors])
    half, axes_box = MARKER * pixels, axes.get_window_extent()
    frame = Bbox.from_extents(axes_box.x0, axes_box.y0, axes_box.x1 + OVER * pixels, axes_box.y1 + OVER * pixels)
    taken = [Bbox([spot - half, spot + half]) for spot in spots]
    lines = _along_lines(axes)
    # The most crowded point chooses first.
    for index in sorted(range(len(anchors)), key=lambda index: sorted(abs(spots - spots[index]).sum(axis=1))[:2][-1]):
        name = _name(axes, anchors[index], (0, 0), "offset points")
        (x, y), (w, h) = spots[index], _box(name).size
        places = [(far, Bbox.from_bounds(x + dx, y + dy, w, h)) for far, dx, dy in _shifts(w, h, pixels)]
        free = [
            (bool(((lines > box.min) & (lines < box.max)).all(axis=1).any()), far, box)
            for far, box in places
            if frame.containsx(box.x0) and frame.containsx(box.x1) and frame.containsy(box.y0)
            and frame.containsy(box.y1) and not any(box.overlaps(other) for other in taken)
        ]  # fmt: skip
        if not free:
            return False
        _, far, box = min(free, key=lambda place: place[0])
        taken.append(box)
        name.xyann = ((box.x0 - x) / pixels, (box.y0 + h / 2 - y) / pixels)
        if name.arrow_patch:
            name.arrow_patch.set_visible(far > FAR[0])
    return True


def _shifts(w: float, h: float, pixels: float) -> Iterator[tuple[float, float, float]]:
    """Yield (distance in points, dx, dy in pixels) of a text's lower left corner from its point, best places first."""
    for far in FAR:
        out, diagonal = far * pixels, far * pixels * 0.75
        left, below = -diagonal - w, -diagonal - 3 * h / 4
        for shift in (
            (out, -h / 2), (diagonal, diagonal - h / 4), (diagonal, below), (-w / 2, out), (-w / 2, -out - h),
            (-out - w, -h / 2), (left, diagonal - h / 4), (left, below),
        ):  # fmt: skip
            yield far, *shift


def _along_lines(axes: Axes) -> np.ndarray[Any, Any]:
    """List places along all that is drawn as a line within the axes, (n, 2) in pixels."""
    import numpy as np

    frame = axes.get_window_extent()
    paths = [line.get_transform().transform_path(line.get_path()).interpolated(24).vertices for line in axes.lines]
    places = np.concatenate([np.asarray(path) for path in paths])
    return places[[bool(frame.contains(*place)) for place in places]]


def _box(text: Text) -> Bbox:
    """Measure a text in pixels, without its leader."""
    from matplotlib.text import Text

    return Text.get_window_extent(text)


def _name(axes: Axes, anchor: Anchor, place: tuple[float, float], coords: Any, **leader: Any) -> Annotation:
    return axes.annotate(
        broken(anchor.label), xy=(anchor.x, anchor.y), xytext=place, textcoords=coords, fontsize=SMALL,
        color=anchor.style.ink, va="center", annotation_clip=False,
        arrowprops={"arrowstyle": "-", "color": anchor.style.colour, "linewidth": 0.6, "shrinkA": 1.0,
                    "shrinkB": MARKER, **leader},
    )  # fmt: skip

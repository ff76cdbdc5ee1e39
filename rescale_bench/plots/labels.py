"""Names written beside the lines and points they belong to, without touching each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rescale_bench.plots.style import FONT, SMALL, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE = 1.25
"""Line height in units of the text size."""
WIDE = 20
"""Longer names break before their bracket."""
NEAR, FARTHER = 6.0, (11.0, 18.0, 27.0)
"""Distances of a name from its point, in points; from the second on a thin line leads to it."""
COLUMN = 13.0
"""Distance of the column of names from the axes, in points."""
OVER = 6.0
"""How far a name beside a point may reach over the right edge of its axes, in points."""
MARKER = 4.5
"""Half the side of the box that a marker keeps free, in points."""
Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in points."""


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


@lru_cache(maxsize=1024)
def text_size(text: str, size: float = SMALL) -> tuple[float, float]:
    """Measure a text, width and height in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    lines = text.split("\n")
    font = FontProperties(family=FONT)
    widths = [TextPath((0, 0), line, size=size, prop=font).get_extents().x1 if line.strip() else 0 for line in lines]
    return float(max(widths)), len(lines) * LINE * size


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float] | None:
    """Move positions as little as possible (least squares) until neighbours are a gap apart, within low to high.

    None where they do not fit. Isotonic regression by pooling neighbours, on the positions less their ranks' gaps.
    """
    if (len(wanted) - 1) * gap > high - low:
        return None
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    pools: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        mean, count = wanted[index] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            before, many = pools.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        pools.append((mean, count))
    level = [mean for mean, count in pools for _ in range(count)]
    top = high - (len(wanted) - 1) * gap
    found = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        found[index] = min(max(level[rank], low), top) + rank * gap
    return found


def label_ends(axes: Axes, anchors: Sequence[Anchor]) -> bool:
    """Write the names in a column right of the axes, each beside the end of its line. False where they do not fit."""
    if not anchors:
        return True
    width, height = size_of(axes)
    gap = max(text_size(broken(anchor.label))[1] for anchor in anchors)
    ends = [y for _, y in _positions(axes, anchors)]
    places = spread(ends, gap, gap / 3, height - gap / 3)
    if places is None:
        return False
    for anchor, place in zip(anchors, places, strict=True):
        axes.annotate(
            broken(anchor.label),
            xy=(anchor.x, anchor.y),
            xytext=(1 + COLUMN / width, place / height),
            textcoords="axes fraction",
            fontsize=SMALL,
            color=anchor.style.ink,
            va="center",
            linespacing=LINE - 0.15,
            annotation_clip=False,
            arrowprops=_leader(anchor.style, (0, 0.5)),
        )
    return True


def label_points(
    axes: Axes,
    anchors: Sequence[Anchor],
    obstacles: Sequence[tuple[float, float]] = (),
    soft: Sequence[tuple[float, float]] = (),
) -> bool:
    """Write each name beside its point where it touches nothing. False where one finds no place.

    obstacles: further points, in data coordinates, that names stay off (those along lines). Every anchor is one.
    soft: points that they stay off where there is room.
    """
    spots = _positions(axes, anchors)
    taken: list[Box] = [_around(spot, MARKER) for spot in spots]
    taken += [_around(spot, 1.5) for spot in _pixels(axes, obstacles)]
    chosen = _choose(axes, anchors, spots, taken, [_around(spot, 1.0) for spot in _pixels(axes, soft)])
    for anchor, far, dx, dy in chosen or ():
        w, h = text_size(broken(anchor.label))
        axes.annotate(
            broken(anchor.label),
            xy=(anchor.x, anchor.y),
            xytext=(dx, dy + h / 2),
            textcoords="offset points",
            fontsize=SMALL,
            color=anchor.style.ink,
            va="center",
            linespacing=LINE - 0.15,
            annotation_clip=False,
            arrowprops=_leader(anchor.style, (0 if dx > 0 else 1 if dx + w < 0 else 0.5, 0.5)) if far > NEAR else None,
        )
    return chosen is not None


def _choose(
    axes: Axes, anchors: Sequence[Anchor], spots: Sequence[tuple[float, float]], taken: list[Box], soft: Sequence[Box]
) -> list[tuple[Anchor, float, float, float]] | None:
    """Find (anchor, distance, dx, dy) for every name, None where one has no place. taken grows."""
    width, height = size_of(axes)
    chosen: list[tuple[Anchor, float, float, float]] = []
    # The most crowded point chooses first.
    for index in sorted(range(len(anchors)), key=lambda one: _nearest(spots, one)):
        anchor, (x, y) = anchors[index], spots[index]
        w, h = text_size(broken(anchor.label))
        free = []
        for far, dx, dy in _candidates(w, h):
            box = (x + dx, y + dy, x + dx + w, y + dy + h)
            inside = box[0] >= 1 and box[1] >= 1 and box[2] <= width + OVER and box[3] <= height + 4
            if inside and not any(_touch(box, other) for other in taken):
                free.append((any(_touch(box, other) for other in soft), box, far, dx, dy))
        if not free:
            return None
        _, box, far, dx, dy = min(free, key=lambda one: one[0])
        taken.append(box)
        chosen.append((anchor, far, dx, dy))
    return chosen


def size_of(axes: Axes) -> tuple[float, float]:
    """Measure axes, width and height in points."""
    box = axes.get_window_extent()
    points = _points(axes)
    return float(box.width) * points, float(box.height) * points


def _points(axes: Axes) -> float:
    """Give the points per pixel."""
    return 72.0 / float(axes.figure.dpi)


def _positions(axes: Axes, anchors: Sequence[Anchor]) -> list[tuple[float, float]]:
    return _pixels(axes, [(anchor.x, anchor.y) for anchor in anchors])


def _pixels(axes: Axes, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Turn data coordinates into points from the lower left corner of the axes."""
    if not places:
        return []
    corner, points = axes.get_window_extent(), _points(axes)
    return [
        ((float(x) - float(corner.x0)) * points, (float(y) - float(corner.y0)) * points)
        for x, y in axes.transData.transform(places)
    ]


def _candidates(w: float, h: float) -> Iterator[tuple[float, float, float]]:
    """Yield (distance, dx, dy) of a text's lower left corner from its point, the best places first."""
    for far in (NEAR, *FARTHER):
        diagonal = far * 0.75
        for dx, dy in (
            (far, -h / 2), (diagonal, diagonal - h / 4), (diagonal, -diagonal - 3 * h / 4), (-w / 2, far),
            (-w / 2, -far - h), (-far - w, -h / 2), (-diagonal - w, diagonal - h / 4),
            (-diagonal - w, -diagonal - 3 * h / 4),
        ):  # fmt: skip
            yield far, dx, dy


def _leader(style: Style, side: tuple[float, float]) -> dict[str, Any]:
    return {
        "arrowstyle": "-",
        "color": style.colour,
        "linewidth": 0.6,
        "shrinkA": 1.0,
        "shrinkB": MARKER,
        "relpos": side,
    }


def _around(spot: tuple[float, float], half: float) -> Box:
    return spot[0] - half, spot[1] - half, spot[0] + half, spot[1] + half


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _nearest(spots: Sequence[tuple[float, float]], index: int) -> float:
    x, y = spots[index]
    return min(((x - u) ** 2 + (y - v) ** 2 for other, (u, v) in enumerate(spots) if other != index), default=0.0)

"""Block diagrams of the methods, as rows of boxes: what the picture passes through on its way down and up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = {
    "i": ("#eceff1", "#546e7a"),  # an image
    "f": ("#fff3e0", "#ef6c00"),  # 8 bits, a file
    "n": ("#e3f2fd", "#1565c0"),  # learned
    "o": ("#f1f8e9", "#558b2f"),  # fixed arithmetic
    "z": ("#f3e5f5", "#7b1fa2"),  # what is thrown away or drawn
}
Box = tuple[str, str]
Row = tuple[str, tuple[Box, ...]]

HR, LR, BACK = ("i", "HR"), ("f", "LR\n8 bit"), ("i", "HR′")
CUBIC_DOWN, CUBIC_SIZE = ("o", "bicubic\nby 1/s"), ("o", "bicubic\nto size")
HAAR = ("o", "Haar\n½ size, 4× channels")
UNHAAR = ("o", "inverse\nHaar")
SPLIT = ("z", "keep 3 channels,\ndrop z")
JOIN = ("z", "append z\n(0 or drawn)")


def _irn(
    first: Box, last: Box, blocks: str, more: tuple[Box, ...] = (), unmore: tuple[Box, ...] = ()
) -> tuple[Row, ...]:
    return (
        ("down", (HR, first, ("n", f"{blocks} coupling\nblocks"), *more, SPLIT, LR)),
        ("up", (LR, JOIN, *unmore, ("n", f"the same {blocks},\ninverted"), last, BACK)),
    )


DIAGRAMS: dict[str, tuple[Row, ...]] = {
    "classic": (
        ("down", (HR, ("o", "kernel, stretched\nby s"), LR)),
        ("up", (LR, ("o", "the same kernel,\nnot stretched"), BACK)),
    ),
    "pairs": (
        ("down", (HR, ("n", "downscaler of\nDOWN"), LR)),
        ("up", (LR, ("n", "upscaler of\nUP"), BACK)),
    ),
    "type1": (
        ("down", (HR, CUBIC_DOWN, LR)),
        ("up", (LR, ("n", "×⌈s⌉ network"), CUBIC_SIZE, BACK)),
    ),
    "type3": (
        ("down", (HR, ("o", "bicubic up\nto b·LR side"), ("n", "×b network\ndown"), LR)),
        ("up", (LR, ("n", "×b network\nup"), CUBIC_SIZE, BACK)),
    ),
    "identity-type3": (
        ("down", (HR, ("o", "bicubic up\nto b·LR side"), ("i", "large float image,\npassed on whole"))),
        ("up", (("i", "the same"), CUBIC_SIZE, BACK)),
    ),
    "edsr": (
        ("up", (LR, ("n", "3×3 to C\nchannels"), ("n", "n residual blocks\n+ long skip"),
                ("n", "conv +\npixel shuffle"), ("n", "3×3 to 3"), BACK)),
    ),
    "car-edsr": (
        ("down", (HR, ("n", "kernel network"), ("o", "per LR pixel: (3s+1)²\nweights and offsets"),
                  ("o", "weighted sum of\nshifted HR pixels"), LR)),
        ("up", (LR, ("n", "EDSR"), BACK)),
    ),
    "irn": _irn(HAAR, UNHAAR, "8"),
    "irn-plus": _irn(HAAR, UNHAAR, "8", (("o", "Haar"), ("n", "8 more")),
                     (("n", "8 inverted"), ("o", "inverse\nHaar"))),
    "irn-ld": _irn(("n", "squeeze 3 +\nlearned 9×9 matrix"), ("n", "inverse matrix,\nunsqueeze"), "12"),
    "irn-e": _irn(("o", "Haar twice\n¼ size, 16× channels"), ("o", "inverse\nHaar twice"), "16"),
    "irn-color": (
        ("down", (HR, ("n", "3×3 colour\nmatrix"), ("n", "8 coupling blocks\n1 | 2 channels"),
                  ("z", "keep 1 channel,\ndrop z"), ("f", "grey\n8 bit"))),
        ("up", (("f", "grey\n8 bit"), ("z", "append z = 0"), ("n", "the same 8,\ninverted"), ("n", "inverse\nmatrix"),
                BACK)),
    ),
    "irn-jpeg": (
        ("down", (HR, ("n", "irn ×2 down,\ntuned to noise"), ("f", "JPEG"))),
        ("up", (("f", "JPEG"), ("n", "CRM: 8 RRDB\nrestore the LR"), ("z", "append z"),
                ("n", "irn ×2\ninverted"), BACK)),
    ),
    "fgrn": (
        ("down", (HR, ("n", "Gd: residual\nnetwork"), ("f", "x\n8 bit"), ("n", "F: flow cells\n1 | 2 channels"), LR)),
        ("up", (LR, ("n", "F inverted"), ("f", "x\n8 bit"), ("n", "Gu: residual\nnetwork"), BACK)),
    ),
    "aidn": (
        ("down", (HR, ("n", "16 residual blocks,\n4 adapted to s"), ("n", "conditional\nresampling by 1/s"),
                  ("n", "3×3 to 3"), LR)),
        ("up", (LR, ("n", "16 residual blocks,\n4 adapted to s"), ("n", "conditional\nresampling by s"),
                ("n", "3×3 to 3"), BACK)),
    ),
}  # fmt: skip
"""For each picture: its rows, each a name and boxes of (kind, text)."""

HEIGHT, GAP, LETTER, PAD = 0.62, 0.28, 0.082, 0.2


def draw(name: str) -> Figure:
    """Draw one diagram; a box is as wide as its longest line."""
    rows = DIAGRAMS[name]
    width = max(_width(boxes) for _, boxes in rows) + 0.75
    figure, ax = plt.subplots(figsize=(width, 0.85 * len(rows)))
    figure.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, width), ylim=(0, 0.85 * len(rows)))
    ax.axis("off")
    for place, (title, boxes) in enumerate(rows):
        _row(ax, 0.85 * (len(rows) - place - 0.5), title, boxes)
    return figure


def _size(text: str) -> float:
    return max(len(line) for line in text.split("\n")) * LETTER + PAD


def _width(boxes: tuple[Box, ...]) -> float:
    return sum(_size(text) + GAP for _, text in boxes) - GAP


def _row(ax: Axes, y: float, title: str, boxes: tuple[Box, ...]) -> None:
    ax.text(0.1, y, title, va="center", weight="bold")
    x = 0.65
    for place, (kind, text) in enumerate(boxes):
        face, edge = KINDS[kind]
        width = _size(text)
        style = "round,pad=0,rounding_size=0.07"
        ax.add_patch(FancyBboxPatch((x, y - HEIGHT / 2), width, HEIGHT, style, fc=face, ec=edge, lw=1.2))
        ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=8)
        if place:
            ax.annotate("", (x, y), (x - GAP, y), arrowprops={"arrowstyle": "-|>", "color": "#263238", "lw": 1})
        x += width + GAP

"""Pictures from inside a network: latents (IRN, Fig. 5 and 6), kernels (CAR, Fig. 4), routing (AIDN, Fig. 7).

Each asks the method's rescaler for what it shows of itself (the optional methods of Rescaler in api/methods.py), so
that a plugin's method is drawn as ours are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from rescale_bench.errors import UsageError
from rescale_bench.plots.compose import Drawn, Panel, Plan
from rescale_bench.plots.examples import Example, cropped
from rescale_bench.plots.lr_views import image_panel, luma, signed_panel
from rescale_bench.plots.style import GREY, Style, styles

if TYPE_CHECKING:
    import torch
    from matplotlib.axes import Axes

SIDE = 192
"""Pixels of the square that goes through a network."""
FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Of z: PSNR is measured at each, over DRAWS draws; the last one is shown."""
DRAWS = 2
TICKS = [Decimal(tenths) / 10 for tenths in range(11, 41)]
"""Scales over which routing is drawn."""
BORDER = 8
"""HR pixels that no kernel is picked from."""


def plan_latent(examples: Sequence[Example]) -> Plan:
    """Draw what the latent z of one method changes: between draws, against z = 0, and over the factor of z."""
    import numpy as np

    example = cropped(_single(examples), SIDE)
    rescale = example.view("with_latent", "drawn latent")
    drawn = {
        (factor, seed): _restored(example, rescale(factor), seed)
        for factor in FACTORS
        for seed in range(DRAWS if factor else 1)
    }
    zero = luma(drawn[0.0, 0])
    between = luma(drawn[1.0, 0]) - luma(drawn[1.0, 1])
    against = luma(drawn[1.0, 0]) - zero
    far = FACTORS[-1]
    limit = max(1.0, float(np.ceil(np.percentile(np.abs([between, against]), 99.5))))
    psnr = {factor: np.mean([_psnr(example, drawn[key]) for key in drawn if key[0] == factor]) for factor in FACTORS}
    panels = (
        Panel("draw minus another draw", signed_panel(between, limit)),
        Panel("draw minus z = 0", signed_panel(against, limit)),
        Panel(f"z {far:g} times as large", image_panel(drawn[far, 0])),
        Panel("quality over the factor of z", _curve({factor: float(value) for factor, value in psnr.items()})),
    )
    notes = (
        f"Differences on Y in 8-bit levels: red is brighter, blue is darker, full colour at ±{limit:g}. "
        f"z is drawn from N(0, factor²); PSNR on Y of this piece, mean of {DRAWS} draws.",
    )
    title = f"What z changes: {example.label}, ×{example.scale}"
    return Plan(title, example.where, panels, 4, notes, {}, (2.1, 2.1))


def plan_kernels(examples: Sequence[Example]) -> Plan:
    """Draw the kernels with which one method makes three LR pixels: of a flat place, an edge and a corner."""
    example = cropped(_single(examples), SIDE)
    scale = float(example.scale)
    weights, y, x = example.view("resampling_kernels", "kernels")(example.input, scale)
    places = _places(example)
    places = {f"{letter}: {name}": place for letter, (name, place) in zip("ABC", places.items(), strict=True)}
    marked = {name: ((row + 0.5) * scale - 0.5, (column + 0.5) * scale - 0.5) for name, (row, column) in places.items()}
    looks = styles(places, None)
    panels = [Panel("where they are", _marked(example, marked, looks))]
    for name, (row, column) in places.items():
        taps = [field[:, row, column].tolist() for field in (weights, y, x)]
        panels.append(Panel(name, _taps(taps, scale, looks[name])))
    notes = (
        "Each dot is a tap: its place in HR pixels from the middle of the LR pixel, its area its weight "
        "(hollow: negative). The square is the LR pixel; grey crosses are the taps before they are moved.",
    )
    title = f"Kernels of {example.label}, ×{example.scale}"
    return Plan(title, example.where, panels, 4, notes, {}, (2.1, 2.1))


def plan_routing(examples: Sequence[Example]) -> Plan:
    """Draw over scale how much of each expert one method takes, a panel for each place of its network."""
    example = _single(examples)
    routing = example.view("routing_weights", "routing")
    served = example.plugins.method(example.row.method).scales
    scales = [scale for scale in TICKS if scale in served]
    if len(scales) < 2:
        raise UsageError(f"{example.label} serves too few scales from 1.1 to 4 to draw routing over them")
    shares = {float(scale): routing(float(scale)) for scale in scales}
    names = list(next(iter(shares.values())))
    count = max(len(found[name]) for found in shares.values() for name in names)
    experts = styles([f"expert {index + 1}" for index in range(count)], None)
    looks = {name: replace(style, marker="") for name, style in experts.items()}
    panels = [
        Panel(name, _shares({scale: found[name].tolist() for scale, found in shares.items()}, looks)) for name in names
    ]
    notes = ("The shares of all experts add up to 1 at every scale. They depend on the scale alone, not on the image.",)
    title = f"Routing of {example.label}"
    return Plan(title, "share of each expert over scale", panels, 4, notes, looks, (1.9, 1.6), legend=True)


def _single(examples: Sequence[Example]) -> Example:
    """Take the only method at the smallest of its scales. Raises UsageError where there are several methods."""
    labels = sorted({one.label for one in examples})
    if len(labels) > 1:
        raise UsageError(f"this picture shows one method: choose one of {', '.join(labels)} with --methods")
    return min(examples, key=lambda one: one.scale)


def _restored(example: Example, rescaler: object, seed: int) -> torch.Tensor:
    """Restore the example's LR after seeding the draws: uint8 (3, H, W)."""
    import torch

    from rescale_bench.images.levels import to_levels

    torch.manual_seed(seed)
    lr = (example.lr.float() / 255)[None]
    upscale = rescaler.upscale  # type: ignore[attr-defined]  # a Rescaler
    restored = upscale(lr, float(example.scale), tuple(example.hr.shape[-2:]))[0].detach().clamp(0, 1)
    return to_levels(restored, "round")


def _psnr(example: Example, restored: torch.Tensor) -> float:
    """Compute PSNR on Y inside a border of the scale, rounded up."""
    import numpy as np

    cut = -int(-example.scale // 1)
    error = (luma(example.hr) - luma(restored))[cut:-cut, cut:-cut]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def _curve(values: Mapping[float, float]) -> Callable[[Axes], Drawn]:
    def draw(axes: Axes) -> Drawn:
        axes.plot(list(values), list(values.values()), color="#0072B2", marker="o")
        axes.set_xlabel("factor of z")
        axes.set_ylabel("PSNR on Y [dB]")
        return Drawn()

    return draw


def _places(example: Example) -> dict[str, tuple[int, int]]:
    """Find LR pixels (row, column) of three kinds by the structure tensor (Harris and Stephens 1988)."""
    import numpy as np
    from scipy.ndimage import gaussian_filter

    plane, scale = luma(example.hr), int(example.scale)
    down, right = np.gradient(plane)
    a, b, c = (gaussian_filter(each, scale) for each in (down * down, down * right, right * right))
    middle, spread = (a + c) / 2, np.sqrt(((a - c) / 2) ** 2 + b**2)
    scores = {"flat place": -(middle + spread), "edge": 2 * spread - 2 * (middle - spread), "corner": middle - spread}
    edge = -(-BORDER // scale)
    found = {}
    for name, score in scores.items():
        rows, columns = plane.shape[0] // scale, plane.shape[1] // scale
        small = score[: rows * scale, : columns * scale].reshape(rows, scale, columns, scale).mean((1, 3))
        inner = small[edge:-edge, edge:-edge]
        row, column = np.unravel_index(int(inner.argmax()), inner.shape)
        found[name] = int(row) + edge, int(column) + edge
    return found


def _marked(
    example: Example, marked: Mapping[str, tuple[float, float]], looks: Mapping[str, Style]
) -> Callable[[Axes], Drawn]:
    picture = image_panel(example.hr)

    def draw(axes: Axes) -> Drawn:
        picture(axes)
        for name, (y, x) in marked.items():
            axes.plot(x, y, marker="s", markersize=7, color="none", markeredgecolor="white", markeredgewidth=3)
            axes.plot(x, y, marker="s", markersize=7, color="none", markeredgecolor=looks[name].colour)
            label = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            axes.annotate(name[0], (x, y), (0, 7), textcoords="offset points", ha="center", color=looks[name].ink,
                          fontweight="bold", bbox=label)  # fmt: skip
        return Drawn()

    return draw


def _taps(taps: Sequence[Sequence[float]], scale: float, style: Style) -> Callable[[Axes], Drawn]:
    weights, y, x = taps
    largest = max(map(abs, weights))

    def draw(axes: Axes) -> Drawn:
        side = round(len(weights) ** 0.5)
        grid = [index - side // 2 for index in range(side)]
        axes.scatter(
            grid * side, [value for value in grid for _ in grid], s=5, marker="+", color="#BBBBBB", linewidth=0.5
        )
        half = scale / 2
        axes.plot([-half, half, half, -half, -half], [-half, -half, half, half, -half], color=GREY, linewidth=0.8)
        for sign, face in ((1, style.colour), (-1, "none")):
            kept = [index for index, weight in enumerate(weights) if sign * weight > 0]
            sizes = [60 * abs(weights[index]) / largest for index in kept]
            axes.scatter([x[index] for index in kept], [y[index] for index in kept], s=sizes, facecolor=face,
                         edgecolor=style.colour, linewidth=0.5, alpha=0.7)  # fmt: skip
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set_xlabel("HR pixels")
        return Drawn()

    return draw


def _shares(values: Mapping[float, Sequence[float]], looks: Mapping[str, Style]) -> Callable[[Axes], Drawn]:
    def draw(axes: Axes) -> Drawn:
        for index in range(len(next(iter(values.values())))):
            style = looks[f"expert {index + 1}"]
            axes.plot(list(values), [each[index] for each in values.values()], color=style.colour, linestyle=style.line)
        axes.set_ylim(0, 1)
        axes.set_xlabel("scale")
        return Drawn()

    return draw

"""Draw the pictures of the site into docs/images, from the real product on scikit-image's photographs.

    python docs/pictures.py [NAME ...]

Every number and every pixel shown is computed here by rescale_bench; nothing is drawn by hand but the block diagrams
(diagrams.py). The pictures are committed: the site is built without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")

import diagrams
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Rectangle
from PIL import Image

from rescale_bench.api.protocol_switches import with_switches
from rescale_bench.api.records import Protocol, Sample
from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.images.color import luma
from rescale_bench.images.levels import resize_levels, to_levels
from rescale_bench.metrics import fidelity
from rescale_bench.protocols.named import PROTOCOLS, RGB8
from rescale_bench.roundtrip.cell import Loop, prepare_hr, reference_lr, round_trip
from rescale_bench.roundtrip.halves import Halves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parent / "images"
TWO, FOUR = Decimal(2), Decimal(4)
INK, ACCENT, KEEP = "#263238", "#d84315", "#1565c0"
PHOTO_COLOURS = 256
"""Colours of a stored picture: keeps files small."""

plt.rcParams.update({"font.size": 9, "axes.titlesize": 9, "figure.dpi": 110, "savefig.dpi": 110, "text.color": INK})


# --- the product -------------------------------------------------------------


def photo(name: str) -> np.ndarray:
    """Load a photograph of scikit-image, uint8 (H, W, 3)."""
    from skimage import data

    pixels = getattr(data, name)()
    return np.repeat(pixels[..., None], 3, 2) if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., :3])


def trip(pixels: np.ndarray, protocol: Protocol = RGB8, scale: Decimal = TWO, method: str = "bicubic") -> Sample:
    """Send an image through one round trip as `run` does. A grey image is told by its three equal channels."""
    registry = load_registry()
    record = registry.method(method)
    options = {option.name: option.default for option in record.options}
    halves = Halves(record, *(record.build({}, "cpu", options) for _ in range(2)))
    grey = bool((pixels == pixels[..., :1]).all())
    hr = prepare_hr(pixels, grey, protocol, scale)
    codec = registry.codecs["png"]
    loop = Loop(codec, {})
    return round_trip(halves, hr, scale, protocol, loop, 0, reference_lr(hr, protocol, scale))


def switched(text: str) -> Protocol:
    """Make a protocol of what one writes after --protocol."""
    spec = parse_spec(text, "protocol")
    return with_switches({protocol.name: protocol for protocol in PROTOCOLS}[spec.name], spec)


def psnr(sample: Sample) -> float:
    """Measure psnr_y."""
    return fidelity.psnr_y(sample, {})


def shown(image: torch.Tensor) -> np.ndarray:
    """Turn (C, H, W) in 0..255 into what imshow takes."""
    array = image.to(torch.float64).clamp(0, 255).permute(1, 2, 0).numpy() / 255
    return array.repeat(3, 2) if array.shape[2] == 1 else array


# --- drawing -----------------------------------------------------------------


def panels(count: int, width: float = 7.4, height: float = 2.7, **more: Any) -> tuple[Figure, list[Axes]]:
    """Make a row of axes without ticks."""
    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, layout="constrained", **more)
    for ax in axes[0]:
        ax.set_xticks([])
        ax.set_yticks([])
    return figure, list(axes[0])


def picture(ax: Axes, array: np.ndarray, title: str, **more: Any) -> Any:
    """Show pixels as squares under a title."""
    ax.set_title(title)
    return ax.imshow(array, interpolation="nearest", **more)


def frame(ax: Axes, x: float, y: float, width: float, height: float, colour: str, **more: Any) -> None:
    """Draw the outline of a rectangle of pixels."""
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=colour, linewidth=1.6, **more))


def difference(ax: Axes, a: torch.Tensor, b: torch.Tensor, title: str, limit: float) -> None:
    """Show the mean over channels of a − b in levels: red above, blue below."""
    values = (a.to(torch.float64) - b.to(torch.float64)).mean(0).numpy()
    drawn = picture(ax, values, title, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.figure.colorbar(drawn, ax=ax, shrink=0.75, label="levels")


def bars(ax: Axes, names: list[str], values: list[float], start: float, unit: str = "dB") -> None:
    """Draw horizontal bars with their values."""
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.barh(range(len(names)), [value - start for value in values], left=start, color=KEEP, height=0.6)
    for place, value in enumerate(values):
        ax.text(value, place, f" {value:.2f} {unit}", va="center")
    ax.set_xlim(start, max(values) + 0.22 * (max(values) - start))
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.set_xticks([])


# --- pictures of the concepts ------------------------------------------------


def round_trip_picture() -> Figure:
    """Show HR, LR and HR' of one round trip at one size per pixel."""
    sample = trip(photo("astronaut")[0:256, 96:352], scale=FOUR)
    figure, axes = panels(4, height=2.2, width_ratios=(1, 0.25, 1, 1.2))
    picture(axes[0], shown(sample.hr), "HR, 256×256")
    picture(axes[1], shown(sample.lr), "LR, 64×64")
    picture(axes[2], shown(sample.sr), "HR′, 256×256")
    error = (sample.hr.to(torch.float64) - sample.sr.to(torch.float64)).abs().mean(0).numpy()
    drawn = picture(axes[3], error, "|HR − HR′|", cmap="magma", vmax=60)
    figure.colorbar(drawn, ax=axes[3], shrink=0.8, label="levels")
    size = len(sample.file or b"") * 8 / (256 * 256)
    figure.suptitle(f"bicubic ×4: {psnr(sample):.2f} dB on Y, LR file {size:.2f} bit per HR pixel", fontsize=9)
    return figure


def mod_crop() -> Figure:
    """Show which pixels of the lower right corner each crop keeps."""
    pixels = photo("astronaut")[0:250, 130:393]
    height, width = pixels.shape[:2]
    corner = 26
    figure, axes = panels(4, width=8.4, height=2.5)
    for ax, value in zip(axes, ("none", "scale", "8", "12"), strict=True):
        kept = prepare_hr(pixels, False, switched(f"rgb8:mod_crop={value}"), FOUR).shape[-2:]
        picture(ax, pixels[-corner:, -corner:], f"mod_crop={value}\n{kept[1]}×{kept[0]} of {width}×{height}")
        right, low = kept[1] - width + corner, kept[0] - height + corner
        for x, y, w, h in ((right, 0, corner - right, corner), (0, low, right, corner - low)):
            ax.add_patch(Rectangle((x - 0.5, y - 0.5), w, h, color="white", alpha=0.8, hatch="///", ec=ACCENT, lw=0))
        frame(ax, 0, 0, right, low, KEEP)
    return figure


def plane() -> Figure:
    """Show what the halves are given."""
    pixels = photo("coffee")[100:300, 250:500]
    figure, axes = panels(2, width=5.4, height=2.3)
    for ax, name, words in zip(axes, ("rgb8", "srcnn-y"), ("plane rgb", "plane y"), strict=True):
        sample = trip(pixels, switched(name))
        picture(ax, shown(sample.lr), f"{words} ({name}): the LR\npsnr_y {psnr(sample):.2f} dB")
    return figure


def grey() -> Figure:
    """Show a grey image's Y as RGB's luma and as itself."""
    pixels = photo("camera")[60:260, 130:330]
    figure, axes = panels(2, width=5.4, height=2.5)
    for ax, name, words in zip(axes, ("rgb8", "srcnn-y"), ("three equal channels", "its own Y"), strict=True):
        sample = trip(pixels, switched(name))
        y = luma(sample.hr, "bt601") if sample.hr.shape[0] == 3 else sample.hr[0].to(torch.float64)
        picture(ax, y.numpy(), f"{words} ({name})\nY from {y.min():.0f} to {y.max():.0f}, psnr_y {psnr(sample):.2f} dB",
                cmap="gray", vmin=0, vmax=255)  # fmt: skip
    return figure


def reference() -> Figure:
    """Show the reference LR, and what shrinking without a stretched kernel does."""
    pixels = photo("astronaut")[180:436, 0:256]
    hr = prepare_hr(pixels, False, RGB8, FOUR)
    small = reference_lr(hr, RGB8, FOUR)
    rough = to_levels(resize_levels(hr / 255, scale=0.25, size=(64, 64), antialias=False).clamp(0, 1), "round")
    figure, axes = panels(3)
    picture(axes[0], shown(hr), "HR")
    picture(axes[1], shown(small), "reference LR ×4\n(kernel stretched: antialiased)")
    picture(axes[2], shown(rough), "the same kernel not stretched\n(not a reference)")
    return figure


def lr_rounding() -> Figure:
    """Show what 8 bit take from the LR, and what that does to HR'."""
    pixels = photo("astronaut")[0:192, 128:320]
    eight, floats = (trip(pixels, switched(f"rgb8:lr_rounding={how},lr_scores=float")) for how in ("round", "none"))
    assert eight.lr_sent is not None
    figure, axes = panels(2, width=6.0, height=2.6)
    difference(axes[0], eight.lr_sent, floats.lr, "LR: 8 bit less float", 0.6)
    difference(axes[1], eight.sr, floats.sr, f"HR′ from it\n{psnr(eight):.3f} dB for {psnr(floats):.3f} dB", 1.2)
    return figure


def sr_rounding() -> Figure:
    """Show the error that each rounding of HR' adds."""
    pixels = photo("astronaut")[0:192, 128:320]
    floats = trip(pixels, switched("rgb8:sr_rounding=none"))
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 2.4), layout="constrained", sharey=True)
    for ax, how in zip(axes, ("round", "truncate"), strict=True):
        sample = trip(pixels, switched(f"rgb8:sr_rounding={how}"))
        added = (sample.sr.to(torch.float64) - floats.sr.to(torch.float64)).flatten().numpy()
        ax.hist(added, bins=np.linspace(-1.05, 1.05, 43), color=KEEP)
        ax.axvline(float(added.mean()), color=ACCENT)
        ax.set_title(f"sr_rounding={how}: {psnr(sample):.3f} dB (none: {psnr(floats):.3f} dB)")
        ax.set_xlabel("level stored less level computed")
        ax.set_yticks([])
        ax.spines[["top", "right", "left"]].set_visible(False)
    return figure


def luma_picture() -> Figure:
    """Show the four luma formulas as curves over grey, and their scores."""
    pixels = photo("astronaut")[0:256, 96:352]
    names = ("bt601", "bt601-rounded", "car", "full")
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 2.5), layout="constrained", width_ratios=(1, 1.25))
    ramp = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    for name, style in zip(("bt601", "car", "full"), ("-", "--", ":"), strict=True):
        left.plot(luma(ramp, name)[0].numpy(), style, label=name, linewidth=1.6)
    left.set(xlabel="grey level", ylabel="Y", xticks=(0, 128, 255), yticks=(0, 16, 235, 255))
    left.legend(frameon=False)
    left.spines[["top", "right"]].set_visible(False)
    bars(right, list(names), [psnr(trip(pixels, switched(f"rgb8:luma={name}"))) for name in names], 28)
    right.set_title("psnr_y of the same two pictures")
    return figure


def border() -> Figure:
    """Show the errors near the rim and which of them count."""
    pixels = photo("chelsea")[90:290, 100:300]
    figure, axes = panels(3, height=2.9)
    for ax, value in zip(axes, ("0", "scale", "8"), strict=True):
        protocol = switched(f"rgb8:border={value}")
        sample = trip(pixels, protocol, FOUR)
        error = (sample.hr.to(torch.float64) - sample.sr.to(torch.float64)).abs().mean(0).numpy()
        cut = {"0": 0, "scale": 4, "8": 8}[value]
        picture(ax, error[:48, :48], f"border={value}\n{psnr(sample):.3f} dB", cmap="magma", vmax=60)
        frame(ax, cut, cut, 60, 60, "#4fc3f7")
    figure.supxlabel("upper left corner of |HR − HR′|, ×4: only what lies inside the frame is scored", fontsize=9)
    return figure


def ssim_edges() -> Figure:
    """Show the positions of SSIM's window that count."""
    pixels = photo("astronaut")[0:64, 150:214]
    figure, axes = panels(2, width=5.4, height=2.9)
    for ax, value in zip(axes, ("valid", "symmetric"), strict=True):
        sample = trip(pixels, switched(f"rgb8:ssim_edges={value}"))
        score = fidelity.ssim_y(sample, {})
        picture(ax, shown(sample.sr), f"ssim_edges={value}: {score:.4f}")
        start = 2 + (5 if value == "valid" else 0)
        frame(ax, start, start, 64 - 2 * start, 64 - 2 * start, KEEP)
        frame(ax, start - 5, start - 5, 11, 11, ACCENT)
    figure.supxlabel("blue: centres that are averaged; red: the first window (11×11)", fontsize=9)
    return figure


def lr_scores() -> Figure:
    """Show what LR scores compare."""
    pixels = photo("astronaut")[0:192, 128:320]
    figure, axes = panels(2, width=6.6, height=2.8)
    for ax, value in zip(axes, ("8bit", "float"), strict=True):
        sample = trip(pixels, switched(f"rgb8:lr_scores={value}"), method="lanczos3")
        score = fidelity.psnr_lr(sample, {})
        difference(ax, sample.lr, sample.lr_reference, f"lr_scores={value}\npsnr_lr {score:.3f} dB", 6)
    return figure


def lr_border() -> Figure:
    """Show which pixels of the LR count."""
    pixels = photo("coffee")[0:160, 0:160]
    figure, axes = panels(2, width=6.6, height=2.8)
    for ax, value in zip(axes, ("0", "scale"), strict=True):
        sample = trip(pixels, switched(f"rgb8:lr_border={value}"), FOUR, "lanczos3")
        score = fidelity.psnr_lr(sample, {})
        difference(ax, sample.lr, sample.lr_reference, f"lr_border={value}\npsnr_lr {score:.3f} dB", 8)
        cut = 0 if value == "0" else 4
        frame(ax, cut, cut, 40 - 2 * cut, 40 - 2 * cut, INK)
    return figure


def protocols() -> Figure:
    """Score one image under every protocol."""
    pixels = photo("chelsea")
    figure, ax = plt.subplots(figsize=(6.6, 2.2), layout="constrained")
    names = [protocol.name for protocol in PROTOCOLS]
    bars(ax, names, [psnr(trip(pixels, switched(name))) for name in names], 35.0)
    ax.set_title("psnr_y of bicubic ×2 on chelsea (451×300), one picture, five protocols")
    return figure


SWITCHES = ("border=0", "luma=bt601-rounded", "luma=car", "luma=full", "sr_rounding=none", "sr_rounding=truncate",
            "mod_crop=none", "mod_crop=8", "mod_crop=12", "lr_rounding=none")  # fmt: skip


def switches() -> Figure:
    """Draw what each switch alone adds to psnr_y."""
    pixels = photo("chelsea")
    base = psnr(trip(pixels))
    values = [psnr(trip(pixels, switched(f"rgb8:{switch}"))) - base for switch in SWITCHES]
    figure, ax = plt.subplots(figsize=(6.6, 2.9), layout="constrained")
    ax.barh(range(len(values)), values, color=[KEEP if value >= 0 else ACCENT for value in values], height=0.6)
    ax.set_yticks(range(len(values)), SWITCHES)
    ax.invert_yaxis()
    ax.set_xscale("symlog", linthresh=0.01)
    ax.set_xticks([-1, -0.1, -0.01, 0, 0.01, 0.1], ["−1", "−0.1", "−0.01", "0", "0.01", "0.1"])
    ax.set_xlim(-4, 0.4)
    ax.axvline(0, color=INK, linewidth=0.8)
    for place, value in enumerate(values):
        # A value of its own sign's side would run into the names.
        ax.text(0.001 if value < 0 else value + 0.002, place, f"{value:+.3f}".replace("-", "−"), va="center")
    ax.set_title(f"bicubic ×2 on chelsea: psnr_y less that of rgb8 ({base:.3f} dB)")
    ax.set_xlabel("dB")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "round-trip": round_trip_picture,
    "protocols": protocols,
    "switches": switches,
    "plane": plane,
    "grey": grey,
    "mod_crop": mod_crop,
    "reference": reference,
    "lr_rounding": lr_rounding,
    "sr_rounding": sr_rounding,
    "luma": luma_picture,
    "border": border,
    "ssim_edges": ssim_edges,
    "lr_border": lr_border,
    "lr_scores": lr_scores,
} | {f"method-{name}": (lambda name=name: diagrams.draw(name)) for name in diagrams.DIAGRAMS}


def save(name: str, figure: Figure) -> Path:
    """Write a figure as a PNG of few colours, without dates or versions inside."""
    path = IMAGES / f"{name}.png"
    figure.savefig(path, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.08)
    plt.close(figure)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(PHOTO_COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return path


def main(names: list[str]) -> None:
    """Draw the pictures of these names, or all."""
    IMAGES.mkdir(exist_ok=True)
    for name in names or PICTURES:
        path = save(name, PICTURES[name]())
        print(f"{path.relative_to(Path.cwd())}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])

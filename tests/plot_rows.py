"""Made-up tidy rows for the figures, and what reads a drawn figure back."""

import math

import numpy as np
import pandas as pd

from rescale_bench.plots.style import styles

BASE = np.random.default_rng(0).normal(30, 4, 8)
METHODS = {"bicubic": 0.0, "lanczos3": 0.7, "nearest": -3.0}
METRICS = {"psnr_y": ("up", "dB"), "ssim_y": ("up", ""), "psnr_lr": ("up", "dB"), "bpp": ("down", "bit/px"),
           "params": ("down", ""), "seconds_down": ("down", "s"), "seconds_up": ("down", "s")}  # fmt: skip


def row(method, image, value, metric="psnr_y", **changes):
    direction, unit = METRICS[metric]
    return {
        "method": method, "options": "", "weights": "", "dataset": "Set5", "image": f"i{image}", "scale": "2",
        "codec": "png", "protocol": "rgb8", "protocol_version": 1, "metric": metric, "value": value, "status": "ok",
        "direction": direction, "unit": unit, "decimals": 3, "repeatable": True, "native": True, "height": 100,
        "width": 200, **changes,
    }  # fmt: skip


def gains(shift):
    return shift + 0.2 * np.sin(np.arange(8) + shift) if shift else np.zeros(8)


def run(methods=METHODS, scales=("1.5", "2", "3"), datasets=("Set5",), **changes):
    found = []
    for index, (method, shift) in enumerate(methods.items()):
        for dataset in datasets:
            for scale in scales:
                for image in range(8):
                    at = {"dataset": dataset, "scale": scale, **changes}
                    quality = BASE[image] - float(scale) + gains(shift)[image]
                    values = {
                        "psnr_y": quality, "ssim_y": 0.9 + quality / 1000,
                        "psnr_lr": math.inf if method == "bicubic" else 35 + index, "bpp": 3.0 + index,
                        "params": 0 if index < 2 else 1e6 * index, "seconds_down": 0.02 * (index + 1),
                        "seconds_up": 0.04 * (index + 1) * (1 + image / 100),
                    }  # fmt: skip
                    found += [row(method, image, value, metric, **at) for metric, value in values.items()]
    return pd.DataFrame(found)


def sweep(methods=METHODS):
    found = []
    for index, (method, shift) in enumerate(methods.items()):
        for step, codec in enumerate(("jpeg:quality=30", "jpeg:quality=50", "jpeg", "jpeg:quality=90", "png")):
            for image in range(8):
                found.append(row(method, image, 0.2 * 1.6**step * (1 + 0.02 * index), "bpp", codec=codec))
                found.append(row(method, image, BASE[image] + step * 1.2 + shift, codec=codec))
    return pd.DataFrame(found)


def lines(axes):
    """Collect the drawn lines that carry data, by colour."""
    return {
        line.get_color(): line
        for line in axes.get_lines()
        if len(line.get_xdata()) > 1 and line.get_linestyle() != "None"
    }


def looks(frame_methods=METHODS):
    return styles(frame_methods, "bicubic")


def names_on(drawn):
    return [text for axes in drawn.axes for text in axes.texts]

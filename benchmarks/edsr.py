"""Time EDSR against a plain module written from the specification, as irn.py does.

python benchmarks/edsr.py [--methods edsr-baseline,edsr] [--scales 2,4] [--sizes 512] [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import torch
from paired import HEADER, compare, picture, sides
from torch.nn import functional as F

from rescale_bench.networks.edsr import EdsrLayout, initial_edsr, load_edsr

SIZES = {"edsr-baseline": (16, 64, 1.0), "edsr": (32, 256, 0.1)}
"""Blocks, channels, residual scale."""
GOALS = {"edsr": 1.1, "edsr-baseline": 1.0}


def plain(t: Mapping[str, torch.Tensor], lr: torch.Tensor, scale: int, blocks: int, residual: float) -> torch.Tensor:
    """Restore (N, 3, h, w) layer by layer (CVPRW 2017, Fig. 3)."""

    def conv(key: str, x: torch.Tensor) -> torch.Tensor:
        weight = t[f"{key}.weight"]
        return F.conv2d(x, weight, t[f"{key}.bias"], padding=weight.shape[-1] // 2)

    x = skip = conv("head.0", conv("sub_mean", lr))
    for index in range(blocks):
        x = x + residual * conv(f"body.{index}.body.2", conv(f"body.{index}.body.0", x).relu())
    x = conv(f"body.{blocks}", x) + skip
    for index in range(scale // 2):
        x = F.pixel_shuffle(conv(f"tail.0.{2 * index}", x), 2)
    return conv("add_mean", conv("tail.1", x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="edsr-baseline,edsr")
    parser.add_argument("--scales", default="2,4")
    parser.add_argument("--sizes", default="512", help="of the HR: 512 or 1024x768")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(HEADER)
    for method in given.methods.split(","):
        blocks, width, residual = SIZES[method]
        for scale in map(int, given.scales.split(",")):
            tensors = initial_edsr(EdsrLayout(blocks, width, scale), 0)
            ours = load_edsr(tensors, residual, "cpu", "benchmark")
            for size in given.sizes.split(","):
                height, columns = sides(size)
                lr = picture(height // scale, columns // scale)
                compare(
                    f"{method} x{scale} up {size}",
                    lambda: plain(tensors, lr, scale, blocks, residual),  # noqa: B023  # called at once
                    lambda: ours.restore(lr),  # noqa: B023
                    given.rounds,
                    GOALS[method],
                )


if __name__ == "__main__":
    main()

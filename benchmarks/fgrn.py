"""Time FGRN against a plain module written from the specification, as irn.py does.

    python benchmarks/fgrn.py [--scales 2,4] [--sizes 512] [--rounds 5] [--threads 2]

The plain module keeps whole NCHW maps and concatenates the features of its dense blocks.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial

import torch
from paired import HEADER, compare, picture, sides
from rescale_bench_plugins.fgrn.network import LAYOUTS, FlowGuidedNetwork, load_network
from torch.nn import functional as F

from rescale_bench.networks.loading import fresh_tensors


class Plain:
    """FGRN as the paper draws it (BMVC 2021, Eq. 5 and 6, Fig. 1), β bounded."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], scale: int, blocks: int, cells: int) -> None:
        self.t, self.scale, self.blocks, self.cells = tensors, scale, blocks, cells

    def conv(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Convolve."""
        return F.conv2d(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"], padding=1)

    def dense(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Compute a dense block."""
        features = [x]
        for layer in range(1, 5):
            features.append(F.leaky_relu(self.conv(f"{key}.conv{layer}", torch.cat(features, 1)), 0.2))
        return self.conv(f"{key}.conv5", torch.cat(features, 1))

    def trunk(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Compute Gd or Gu without its pixel shuffle."""
        x = skip = self.conv(f"{key}.head", x)
        for index in range(self.blocks):
            block = f"{key}.blocks.{index}.body"
            x = x + self.conv(f"{block}.2", self.conv(f"{block}.0", x).relu())
        return self.conv(f"{key}.tail", skip + self.conv(f"{key}.closing", x))

    def down(self, hr: torch.Tensor) -> torch.Tensor:
        """Compute the 8-bit LR."""
        return levels(self.flow(levels(self.squeeze(hr))))

    def squeeze(self, hr: torch.Tensor) -> torch.Tensor:
        """Compute Gd."""
        return self.trunk("down", F.pixel_unshuffle(hr, self.scale))

    def flow(self, x: torch.Tensor) -> torch.Tensor:
        """Compute F."""
        for index in range(self.cells):
            cell = f"flow.cells.{index}"
            first = x[:, :1] + self.dense(f"{cell}.F", x[:, 1:])
            s = 2 * torch.sigmoid(self.dense(f"{cell}.H", first)) - 1
            x = torch.cat((first, x[:, 1:] * torch.exp(s) + self.dense(f"{cell}.G", first)), 1)
        return x

    def up(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore the image."""
        x = lr
        for index in reversed(range(self.cells)):
            cell, first = f"flow.cells.{index}", x[:, :1]
            s = 2 * torch.sigmoid(self.dense(f"{cell}.H", first)) - 1
            second = (x[:, 1:] - self.dense(f"{cell}.G", first)) / torch.exp(s)
            x = torch.cat((first - self.dense(f"{cell}.F", second), second), 1)
        return F.pixel_shuffle(self.trunk("up", levels(x)), self.scale)


def levels(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(0, 1).mul(255).round().div(255)


def agree(expected: torch.Tensor, found: torch.Tensor) -> None:
    if not (found - expected).abs().max() <= 1e-5 * expected.abs().max():
        raise SystemExit("fgrn: outputs before rounding differ by more than 1e-5 of the largest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", default="2,4")
    parser.add_argument("--sizes", default="512", help="of the HR: 512 or 1024x768")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(HEADER)
    for scale in map(int, given.scales.split(",")):
        layout = LAYOUTS[f"x{scale}"]
        fresh = fresh_tensors(lambda layout=layout: FlowGuidedNetwork(layout), 0)
        # A fresh flow is the identity, with zeros in it: a little noise makes every layer count.
        generator = torch.Generator().manual_seed(0)
        tensors = {key: value + 0.01 * torch.randn(value.shape, generator=generator) for key, value in fresh.items()}
        ours = load_network(tensors, f"x{scale}", True, "benchmark")
        plain = Plain(tensors, scale, layout.blocks, layout.cells)
        for size in given.sizes.split(","):
            hr = picture(*sides(size))
            with torch.inference_mode():
                lr = plain.down(hr)
                agree(plain.squeeze(hr), ours.squeeze(hr))
                agree(plain.flow(lr), ours.flow(lr)[0])
            # Both parts agree, but a value may round the other way between them, and again after the flow.
            halves = {
                "down": (partial(plain.down, hr), partial(ours.downscale, hr), 4 / 255),
                "up": (partial(plain.up, lr), partial(ours.upscale, lr), 1e-5),
            }
            for half, (reference, candidate, tolerance) in halves.items():
                compare(f"fgrn x{scale} {half} {size}", reference, candidate, given.rounds, 1.0, tolerance)


if __name__ == "__main__":
    main()

"""Measure IRN against a plain module written from the specification: same weights, alternating, median ratios.

    python benchmarks/irn.py --networks irn-x2,irn-x4,irn-e-x4 --sizes 256,1024x768 --rounds 5 --threads 2

The plain module concatenates the features of its dense blocks, stays NCHW, runs the Haar transform as a grouped
convolution and does the whole forward pass although only the LR is wanted, as published implementations do. A ratio
above 1 means that rescale-bench is faster; the goals are those of the specification. Ends with status 1 if any
output differs by more than 1e-5 of the largest value, or any median ratio is below --least.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch
from paired import HEADER, compare, picture, sides
from rescale_bench_plugins.irn.network import HAAR, InvertibleNetwork, Layout, load_network
from rescale_bench_plugins.irn.rescaler import LAYOUTS
from torch import nn
from torch.nn import functional

Run = Callable[[], torch.Tensor]
GOALS = {"irn-x2": 1.3, "irn-x4": 1.4, "irn-e-x4": 1.3}
"""spec/speed.md, forward and inverse."""


class PlainDense(nn.Module):
    """A dense block as the paper draws it."""

    def __init__(self, inputs: int, outputs: int, growth: int = 32) -> None:
        super().__init__()
        for layer in range(4):
            self.add_module(f"conv{layer + 1}", nn.Conv2d(inputs + layer * growth, growth, 3, padding=1))
        self.conv5 = nn.Conv2d(inputs + 4 * growth, outputs, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute it."""
        features = [x]
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            features.append(functional.leaky_relu(convolution(torch.cat(features, 1)), 0.2))
        return self.conv5(torch.cat(features, 1))


class PlainCoupling(nn.Module):
    """Equations 1 to 3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.F = PlainDense(channels - 3, 3)
        self.G = PlainDense(3, channels - 3)
        self.H = PlainDense(3, channels - 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute it."""
        x1, x2 = x[:, :3], x[:, 3:]
        y1 = x1 + self.F(x2)
        s = 2 * torch.sigmoid(self.H(y1)) - 1
        return torch.cat((y1, x2 * torch.exp(s) + self.G(y1)), 1)

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        y1, y2 = y[:, :3], y[:, 3:]
        s = 2 * torch.sigmoid(self.H(y1)) - 1
        x2 = (y2 - self.G(y1)) / torch.exp(s)
        return torch.cat((y1 - self.F(x2), x2), 1)


class PlainHaar(nn.Module):
    """The Haar transform as a grouped convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.haar_weights = nn.Parameter(torch.zeros(4 * channels, 1, 2, 2), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute it."""
        y = functional.conv2d(x, self.haar_weights, stride=2, groups=self.channels) / 4
        return y.reshape(len(x), self.channels, 4, *y.shape[2:]).transpose(1, 2).reshape(len(x), -1, *y.shape[2:])

    def inverse(self, y: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        x = y.reshape(len(y), 4, self.channels, *y.shape[2:]).transpose(1, 2).reshape(y.shape)
        return functional.conv_transpose2d(x, self.haar_weights, stride=2, groups=self.channels)


class Plain(nn.Module):
    """Haar transforms and coupling blocks, as a layout lists them."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.operations, channels = nn.ModuleList(), 3
        for operation in layout.operations:
            self.operations.append(PlainHaar(channels) if operation == HAAR else PlainCoupling(channels))
            channels *= 4 if operation == HAAR else 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute it."""
        for operation in self.operations:
            x = operation(x)
        return x[:, :3]

    def inverse(self, lr: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Undo it."""
        x = torch.cat((lr, z), 1)
        for operation in reversed(self.operations):
            x = operation.inverse(x)
        return x


def networks(name: str) -> tuple[Plain, InvertibleNetwork]:
    """Build both with the same random weights, small enough that values stay in their usual range."""
    torch.manual_seed(0)
    method, _, part = name.rpartition("-")
    layout = LAYOUTS[method][part]
    tensors = {
        key: tensor if "haar" in key else 0.5 * torch.randn_like(tensor) / max(1, tensor[0].numel()) ** 0.5
        for key, tensor in InvertibleNetwork(layout).state_dict().items()
    }
    plain = Plain(layout).eval()
    plain.load_state_dict(tensors)
    return plain, load_network(tensors, layout, "benchmark")


def halves(plain: Plain, ours: InvertibleNetwork, size: tuple[int, int]) -> list[tuple[str, Run, Run]]:
    """List both passes: name, plain, ours."""
    scale = ours.layout.scale
    hr, lr = picture(*size), picture(size[0] // scale, size[1] // scale)
    z = torch.randn(1, ours.latent_channels, *lr.shape[-2:])
    return [
        ("forward", lambda: plain(hr), lambda: ours.downscale(hr)),
        ("inverse", lambda: plain.inverse(lr, z), lambda: ours.inverse(lr, z)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(GOALS))
    parser.add_argument("--sizes", default="512", help="of the HR: 512 or 1024x768")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--least", type=float, default=0.0, help="smallest accepted median ratio")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(HEADER)
    ratios = []
    for name in arguments.networks.split(","):
        plain, ours = networks(name)
        for size in arguments.sizes.split(","):
            for half, reference, candidate in halves(plain, ours, sides(size)):
                case = f"{name} {half} {size}"
                ratios.append(compare(case, reference, candidate, arguments.rounds, GOALS.get(name, 1.0)))
    return int(min(ratios) < arguments.least)


if __name__ == "__main__":
    sys.exit(main())

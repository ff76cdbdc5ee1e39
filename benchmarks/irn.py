"""Measure IRN against a plain module written from the specification: same weights, alternating, median ratios.

    python benchmarks/irn.py --scales 2,4 --sides 256,512 --rounds 5 --threads 2

The plain module concatenates the features of its dense blocks, stays NCHW, runs the Haar transform as a grouped
convolution and does the whole forward pass although only the LR is wanted, as published implementations do. A ratio
above 1 means that rescale-bench is faster. Ends with status 1 if any output differs by more than 1e-5 of the
largest value, or any median ratio is below --least.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from rescale_bench_plugins.irn.network import InvertibleNetwork, load_network
from rescale_bench_plugins.irn.rescaler import LAYOUTS
from torch import nn
from torch.nn import functional

Run = Callable[[], torch.Tensor]


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
    """IRN ×2 or ×4 with eight blocks after each Haar transform."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        operations: list[nn.Module] = []
        for step in range(scale // 2):
            operations += [PlainHaar(3 * 4**step), *(PlainCoupling(3 * 4 ** (step + 1)) for _ in range(8))]
        self.operations = nn.ModuleList(operations)

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


def networks(scale: int) -> tuple[Plain, InvertibleNetwork]:
    """Build both with the same random weights, small enough that values stay in their usual range."""
    torch.manual_seed(scale)
    layout = LAYOUTS["irn"][f"x{scale}"]
    tensors = {
        key: tensor if "haar" in key else 0.5 * torch.randn_like(tensor) / max(1, tensor[0].numel()) ** 0.5
        for key, tensor in InvertibleNetwork(layout).state_dict().items()
    }
    plain = Plain(scale).eval()
    plain.load_state_dict(tensors)
    return plain, load_network(tensors, layout, "benchmark")


def halves(plain: Plain, ours: InvertibleNetwork, scale: int, side: int) -> list[tuple[str, Run, Run]]:
    """List both passes on random pixels: name, plain, ours."""
    hr, lr = torch.rand(1, 3, side, side), torch.rand(1, 3, side // scale, side // scale)
    z = torch.randn(1, ours.latent_channels, *lr.shape[-2:])
    return [
        ("forward", lambda: plain(hr), lambda: ours.downscale(hr)),
        ("inverse", lambda: plain.inverse(lr, z), lambda: ours.inverse(lr, z)),
    ]


def seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(name: str, plain: Run, ours: Run, rounds: int) -> tuple[float, float]:
    """Print one line and return the largest relative difference and the median paired ratio."""
    expected = plain()
    difference = ((ours() - expected).abs().max() / expected.abs().max()).item()
    pairs = [(seconds(plain), seconds(ours)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    before, after = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name:24} {before:9.3f} {after:9.3f} {ratio:8.2f} {difference:12.1e}", flush=True)
    return difference, ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", default="2,4")
    parser.add_argument("--sides", default="256,512")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--least", type=float, default=1.0, help="smallest accepted median ratio")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'':24} {'plain s':>9} {'ours s':>9} {'ratio':>8} {'difference':>12}")
    results = []
    for scale in map(int, arguments.scales.split(",")):
        plain, ours = networks(scale)
        for side in map(int, arguments.sides.split(",")):
            for half, reference, candidate in halves(plain, ours, scale, side):
                with torch.inference_mode():
                    results.append(compare(f"irn x{scale} {half} {side}²", reference, candidate, arguments.rounds))
    return int(any(difference > 1e-5 or ratio < arguments.least for difference, ratio in results))


if __name__ == "__main__":
    sys.exit(main())

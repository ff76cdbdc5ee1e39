"""Time and peak memory of AIDN, paired against a plain module written from the spec.

Run `python benchmarks/aidn.py [--size 512] [--scales 2,3.3] [--repeats 3] [--threads 2]`. Both compute from the same
weights on the same image in one process, alternating; the table gives medians of the ratios within a pair. The plain
module keeps whole feature maps and builds the per-pixel kernels (two matrices of 8×64 for each pixel).
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from rescale_bench_plugins.aidn.layout import AidnLayout
from rescale_bench_plugins.aidn.network import initial_aidn
from rescale_bench_plugins.aidn.rescaler import load_aidn
from torch.nn import functional as F

from rescale_bench.interfaces import State
from rescale_bench.profiling import measure
from rescale_bench.scales import lr_size

TOLERANCE = 2e-5
"""Of the largest value. In float64 both agree to 2e-14; in float32 each strays up to 8e-6 from that (384², s=3.3)."""

Tensors = Mapping[str, torch.Tensor]


class PlainHalf:
    """One half of AIDN, layer by layer (arXiv 2201.12576, Fig. 2-4)."""

    def __init__(self, tensors: Tensors, prefix: str) -> None:
        self.t = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    def __call__(self, image: torch.Tensor, sigma: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample (1, 3, H, W) to (1, 3, *size)."""
        x = skip = self.conv("head.0", self.conv("sub_mean", image, 0))
        for index in range(16):
            x = x + self.conv(f"body.{index}.body.2", self.conv(f"body.{index}.body.0", x).relu())
            if index % 4 == 3:
                x = self.adapt(f"sa_adapt.{index // 4}.", x, sigma)
        x = self.conv("body.16", x) + skip
        return self.conv("add_mean", self.conv("tail.1", self.resample(x, sigma, size)), 0)

    def conv(self, key: str, x: torch.Tensor, padding: int = 1) -> torch.Tensor:
        """Convolve."""
        return F.conv2d(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"], padding=padding)

    def linear(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Multiply by a matrix."""
        return F.linear(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"])

    def norm(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Normalise as in eval mode."""
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.t[f"{key}.{name}"] for name in names))

    def adapt(self, key: str, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """Adapt features to the scale."""
        given = torch.tensor([1 / sigma, 1 / sigma])
        shares = self.linear(f"{key}adapt.routing.2", self.linear(f"{key}adapt.routing.0", given).relu()).softmax(0)
        kernel = (shares[:, None, None, None, None] * self.t[f"{key}adapt.weight_pool"]).sum(0)
        mask = x
        for index in (0, 3, 6):
            mask = self.norm(f"{key}mask.{index + 1}", self.conv(f"{key}mask.{index}", mask)).relu()
        mask = self.norm(f"{key}mask.10", self.conv(f"{key}mask.9", mask)).sigmoid()
        return x + mask * F.conv2d(x, kernel, padding=1)

    def resample(self, x: torch.Tensor, sigma: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample features conditionally."""
        centres = [(torch.arange(side, dtype=torch.float64) + 0.5) / sigma for side in size]
        rel_h, rel_w = ((c - (c + 1e-3).floor() - 0.5).float() for c in centres)
        base_y, base_x = ((c - 0.5).float() for c in centres)
        base = torch.stack((base_x.expand(size), base_y[:, None].expand(size)), -1)[None]
        planes = [torch.full(size, 1 / sigma)] * 2 + [rel_h[:, None].expand(size), rel_w.expand(size)]
        hidden = torch.cat((torch.stack(planes)[None], self.sample(x, base)), 1)
        for index in (0, 2):
            hidden = self.conv(f"sa_sample.body.{index}", hidden, 0).relu()
        offset = self.conv("sa_sample.offset", hidden, 0).permute(0, 2, 3, 1)
        shares = self.conv("sa_sample.routing.0", hidden, 0).sigmoid()[0].permute(1, 2, 0).flatten(0, 1)
        f = self.sample(x, base + offset)
        matrices = [self.t[f"sa_sample.weight_{name}"][..., 0, 0] for name in ("compress", "expand")]
        # Per pixel: one 8×64 and one 64×8 matrix, mixed from the experts.
        compress, expand = ((shares @ pool.flatten(1)).view(-1, *pool.shape[1:]) for pool in matrices)
        pixels = f[0].flatten(1).T[:, :, None]
        return f + (expand @ (compress @ pixels))[:, :, 0].T.view(f.shape)

    @staticmethod
    def sample(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """Sample (1, C, h, w) at pixel coordinates (1, H, W, 2), x before y."""
        span = torch.tensor([x.shape[3] - 1, x.shape[2] - 1])
        return F.grid_sample(x, at * 2 / span - 1, mode="bilinear", padding_mode="zeros", align_corners=True)


Call = Callable[[], torch.Tensor]
HEADER = (
    f"{'ours s':>8} {'plain s':>8} {'faster':>8} {'ours MB':>8} {'plain MB':>8} {'share':>6} {'net':>6}  difference"
)


@dataclass(frozen=True)
class Row:
    """Medians of one comparison: seconds and peak memory in MB (whole process), ours before the plain module's."""

    seconds: tuple[float, float]
    faster: float
    memory: tuple[float, float]
    idle: float
    difference: float

    def print(self, name: str) -> None:
        """Print under HEADER; share is ours of the plain peak, net the same above the idle process."""
        (mine, theirs), (my_mb, their_mb) = self.seconds, self.memory
        net = (my_mb - self.idle) / (their_mb - self.idle)
        columns = f"{mine:8.2f} {theirs:8.2f} {self.faster:7.2f}x {my_mb:8.0f} {their_mb:8.0f} {my_mb / their_mb:6.2f}"
        print(f"{name:24} {columns} {net:6.2f}  {self.difference:.0e}", flush=True)

    def after(self, other: Row) -> Row:
        """Join with the row of a call that runs before: seconds add up, the higher peak counts."""
        mine, theirs = (a + b for a, b in zip(self.seconds, other.seconds, strict=True))
        my_mb, their_mb = (max(pair) for pair in zip(self.memory, other.memory, strict=True))
        worst = max(self.difference, other.difference)
        return Row((mine, theirs), theirs / mine, (my_mb, their_mb), self.idle, worst)


def idle_mb() -> float:
    """Measure the resident set of the process as it stands, in MB."""
    gc.collect()
    return measure(lambda: None)[2] or math.nan


def compare(name: str, ours: Call, plain: Call, repeats: int, idle: float) -> Row:
    """Alternate two calls and print medians. Raises SystemExit where their outputs differ by over TOLERANCE."""
    seconds: list[tuple[float, float]] = []
    memory: list[tuple[float, float]] = []
    difference = 0.0
    for index in range(repeats + 1):
        (mine, my_seconds, my_mb), (other, their_seconds, their_mb) = measure(ours), measure(plain)
        difference = max(difference, float((mine - other).abs().max() / other.abs().max()))
        if difference > TOLERANCE:
            raise SystemExit(f"{name}: outputs differ by {difference:.1e} of the largest")
        # The first pair warms up caches and the allocator.
        if index:
            seconds.append((my_seconds, their_seconds))
            memory.append((my_mb or math.nan, their_mb or math.nan))
    mine, theirs, my_peak, their_peak = (
        statistics.median(c) for pairs in (seconds, memory) for c in zip(*pairs, strict=True)
    )
    faster = statistics.median(theirs / mine for mine, theirs in seconds)
    row = Row((mine, theirs), faster, (my_peak, their_peak), idle, difference)
    row.print(name)
    return row


def picture(side: int) -> torch.Tensor:
    """Draw a smooth random image (1, 3, side, side) with a little noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, side // 8, side // 8, generator=generator)
    smooth = F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
    return (smooth + 0.05 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1).mul(255).round().div(255)


def arguments(description: str, scales: str) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="HR side in pixels")
    parser.add_argument("--scales", default=scales)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    return given


@torch.inference_mode()
def main() -> None:
    given = arguments(__doc__ or "", "2,3.3")
    tensors = initial_aidn(AidnLayout(), 0)
    network = load_aidn(State(tensors), "cpu", "benchmark")
    plain_down, plain_up = PlainHalf(tensors, "down_net."), PlainHalf(tensors, "up_net.")
    size = (given.size, given.size)
    hr = picture(given.size)
    idle = idle_mb()
    print(f"{'AIDN':24} {HEADER}   (idle {idle:.0f} MB)")
    for scale in map(float, given.scales.split(",")):
        small = lr_size(size, scale)
        label = f"{given.size}² s={scale:g}"
        lr = network.down(hr, scale, small).clamp(0, 1).mul(255).round().div(255)
        calls: dict[str, tuple[Call, Call]] = {
            "down": (partial(network.down, hr, scale, small), partial(plain_down, hr, 1 / scale, small)),
            "up": (partial(network.up, lr, scale, size), partial(plain_up, lr, scale, size)),
        }
        down, up = (compare(f"{label} {half}", *pair, given.repeats, idle) for half, pair in calls.items())
        up.after(down).print(f"{label} both")


if __name__ == "__main__":
    main()

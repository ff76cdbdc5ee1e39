"""Time and peak memory of AIDN, paired against a plain module written from the spec.

Run `python benchmarks/aidn.py [--size 512] [--scales 2,3.3] [--repeats 3] [--threads 2]`. Both compute from the same
weights on the same image in one process, alternating; the table gives medians of the ratios within a pair. The plain
module keeps whole feature maps and builds the per-pixel kernels (two matrices of 8×64 for each pixel).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

from rescale_bench.interfaces import State
from rescale_bench.profiling import measure
from rescale_bench.scales import lr_size
from rescale_bench_plugins.aidn.layout import AidnLayout
from rescale_bench_plugins.aidn.network import initial_aidn
from rescale_bench_plugins.aidn.rescaler import load_aidn

Tensors = Mapping[str, torch.Tensor]


class PlainHalf:
    """One half of AIDN, layer by layer (arXiv 2201.12576, Fig. 2-4)."""

    def __init__(self, tensors: Tensors, prefix: str) -> None:
        self.t = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    def __call__(self, image: torch.Tensor, sigma: float, size: tuple[int, int]) -> torch.Tensor:
        x = skip = self.conv("head.0", self.conv("sub_mean", image, 0))
        for index in range(16):
            x = x + self.conv(f"body.{index}.body.2", self.conv(f"body.{index}.body.0", x).relu())
            if index % 4 == 3:
                x = self.adapt(f"sa_adapt.{index // 4}.", x, sigma)
        x = self.conv("body.16", x) + skip
        return self.conv("add_mean", self.conv("tail.1", self.resample(x, sigma, size)), 0)

    def conv(self, key: str, x: torch.Tensor, padding: int = 1) -> torch.Tensor:
        return F.conv2d(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"], padding=padding)

    def linear(self, key: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"])

    def norm(self, key: str, x: torch.Tensor) -> torch.Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.t[f"{key}.{name}"] for name in names))

    def adapt(self, key: str, x: torch.Tensor, sigma: float) -> torch.Tensor:
        given = torch.tensor([1 / sigma, 1 / sigma])
        shares = self.linear(f"{key}adapt.routing.2", self.linear(f"{key}adapt.routing.0", given).relu()).softmax(0)
        kernel = (shares[:, None, None, None, None] * self.t[f"{key}adapt.weight_pool"]).sum(0)
        mask = x
        for index in (0, 3, 6):
            mask = self.norm(f"{key}mask.{index + 1}", self.conv(f"{key}mask.{index}", mask)).relu()
        mask = self.norm(f"{key}mask.10", self.conv(f"{key}mask.9", mask)).sigmoid()
        return x + mask * F.conv2d(x, kernel, padding=1)

    def resample(self, x: torch.Tensor, sigma: float, size: tuple[int, int]) -> torch.Tensor:
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
        span = torch.tensor([x.shape[3] - 1, x.shape[2] - 1])
        return F.grid_sample(x, at * 2 / span - 1, mode="bilinear", padding_mode="zeros", align_corners=True)


Call = Callable[[], torch.Tensor]


def compare(name: str, ours: Call, plain: Call, repeats: int) -> None:
    """Alternate two calls and print medians. Raises SystemExit where their outputs differ by over 1e-5."""
    seconds: list[tuple[float, float]] = []
    memory: list[tuple[float, float]] = []
    for index in range(repeats + 1):
        (mine, my_seconds, my_mb), (other, their_seconds, their_mb) = measure(ours), measure(plain)
        difference = float((mine - other).abs().max() / other.abs().max())
        if difference > 1e-5:
            raise SystemExit(f"{name}: outputs differ by {difference:.1e} of the largest")
        # The first pair warms up caches and the allocator.
        if index:
            seconds.append((my_seconds, their_seconds))
            memory.append((my_mb or float("nan"), their_mb or float("nan")))
    columns = [statistics.median(column) for pairs in (seconds, memory) for column in zip(*pairs, strict=True)]
    faster = statistics.median(theirs / mine for mine, theirs in seconds)
    print(
        f"{name:24} {columns[0]:8.2f} {columns[1]:8.2f} {faster:7.2f}x {columns[2]:8.0f} {columns[3]:8.0f} "
        f"{columns[2] / columns[3]:7.2f}  {difference:.0e}",
        flush=True,
    )


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="HR side in pixels")
    parser.add_argument("--scales", default="2,3.3")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tensors = initial_aidn(AidnLayout(), 0)
    network = load_aidn(State(tensors), "cpu", "benchmark")
    plain_down, plain_up = PlainHalf(tensors, "down_net."), PlainHalf(tensors, "up_net.")
    size = (given.size, given.size)
    hr = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    print(f"{'AIDN':24} {'ours s':>8} {'plain s':>8} {'faster':>8} {'ours MB':>8} {'plain MB':>8} {'share':>7}  difference")
    for scale in map(float, given.scales.split(",")):
        small = lr_size(size, scale)
        lr = network.down(hr, scale, small).clamp(0, 1).mul(255).round().div(255)
        label = f"{given.size}² s={scale:g}"
        compare(
            f"{label} down",
            lambda s=scale, small=small: network.down(hr, s, small),
            lambda s=scale, small=small: plain_down(hr, 1 / s, small),
            given.repeats,
        )
        compare(
            f"{label} up",
            lambda s=scale, lr=lr: network.up(lr, s, size),
            lambda s=scale, lr=lr: plain_up(lr, s, size),
            given.repeats,
        )


if __name__ == "__main__":
    main()

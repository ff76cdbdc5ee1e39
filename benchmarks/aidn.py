"""Time and peak memory of AIDN, paired against a plain module written from the spec.

    python benchmarks/aidn.py [--sizes 512,1024x768] [--scales 2,3.3] [--rounds 3] [--threads 2] [--only memory]

Both compute from the same weights on the same image: times in one process, alternating; peak memory each in a
process of its own, because an allocator keeps what its process once used. The plain module keeps whole feature maps
and builds the per-pixel kernels (two matrices of 8×64 for each pixel). "net" is without the idle process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import torch
from paired import HEADER, alternate, peak_apart, picture, print_peak, record, record_peaks, sides
from rescale_bench_plugins.aidn.layout import AidnLayout
from rescale_bench_plugins.aidn.network import initial_aidn
from rescale_bench_plugins.aidn.rescaler import load_aidn
from torch.nn import functional as F

from rescale_bench.api.records import State
from rescale_bench.api.scales import lr_size
from rescale_bench.machine.profiling import count_macs

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
GOALS = {("down", 2.0): 1.8, ("up", 2.0): 2.0, ("down", 3.3): 1.6, ("up", 3.3): 2.2}
"""spec/speed.md."""
MEMORY_GOAL = 4.0
"""A quarter of the plain module's memory (spec/speed.md), as a ratio."""


def calls(size: tuple[int, int], scale: float) -> dict[str, Callable[[], Call]]:
    """Prepare each module's halves, built when called for: "ours down", "plain down", "ours up", "plain up"."""
    tensors = initial_aidn(AidnLayout(), 0)
    network = load_aidn(State(tensors), "cpu", "benchmark")
    small = lr_size(size, scale)
    hr, lr = picture(*size), picture(*small)

    def plain(net: str) -> PlainHalf:
        return PlainHalf(tensors, net)

    return {
        "ours down": lambda: lambda: network.down(hr, scale, small),
        "plain down": lambda: lambda half=plain("down_net."): half(hr, 1 / scale, small),
        "ours up": lambda: lambda: network.up(lr, scale, size),
        "plain up": lambda: lambda half=plain("up_net."): half(lr, scale, size),
    }


def times(text: str, scale: float, rounds: int) -> None:
    """Compare outputs and time. Raises SystemExit where outputs differ by over TOLERANCE."""
    made = calls(sides(text), scale)
    for half in ("down", "up"):
        ours, plain = made[f"ours {half}"](), made[f"plain {half}"]()
        expected = plain()
        difference = float((ours() - expected).abs().max() / expected.abs().max())
        case = f"aidn {scale:g} {half} {text}"
        if difference > TOLERANCE:
            raise SystemExit(f"{case}: outputs differ by {difference:.1e} of the largest")
        goal = GOALS.get((half, scale), 1.0)
        note = f"difference {difference:.0e}"
        record(case, *alternate(ours, plain, rounds), goal=goal, macs=count_macs(plain), note=note)


def peak(text: str, scale: float, who: str) -> None:
    """Print the peak of one call."""
    small = calls((64, 64), 2.0)

    def warm_up() -> None:
        for name in ("ours down", "ours up"):
            small[name]()()

    print_peak(warm_up, calls(sides(text), scale)[who]())


def memory(text: str, scale: float, threads: int) -> None:
    """Compare peaks, each in a process of its own; a round trip's is that of the larger half."""
    asked = ["--sizes", text, "--scales", str(scale), "--threads", str(threads), "--only"]
    found = {
        f"{who} {half}": peak_apart(__file__, *asked, f"{who} {half}")
        for half in ("down", "up")
        for who in ("ours", "plain")
    }
    for half in ("down", "up", "both"):
        parts = ("down", "up") if half == "both" else (half,)
        # The half with the higher peak, each beside its own idle process.
        ours, plain = (
            max((found[f"{whose} {part}"] for part in parts), key=lambda pair: pair[1]) for whose in ("ours", "plain")
        )
        record_peaks(f"aidn {scale:g} {half} {text}", ours, plain, MEMORY_GOAL if half == "both" else 1.0)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="512", help="of the HR: 512 or 1024x768")
    parser.add_argument("--scales", default="2,3.3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="times, memory, or (for one size and scale) ours down, plain up, …")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases = [(size, float(scale)) for size in given.sizes.split(",") for scale in given.scales.split(",")]
    if " " in given.only:
        peak(*cases[0], given.only)
        return
    print(HEADER)
    for size, scale in cases:
        if given.only != "memory":
            times(size, scale, given.rounds)
        if given.only != "times":
            memory(size, scale, given.threads)


if __name__ == "__main__":
    main()

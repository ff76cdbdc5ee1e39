"""Time and peak memory of ArbRCAN, paired against a plain module written from the spec.

    python benchmarks/arbrcan.py [--sizes 512x384] [--scales 2,2.75] [--rounds 3] [--threads 2] [--only memory]

Sizes are those of the restored image, or a few pixels less. Both compute from the same weights on the same LR: times in
one process, alternating, of the whole network and of the upsampler alone; peak memory each in a process of its own. The
plain module keeps whole feature maps and builds the per-pixel kernels (two matrices of 8×64 for each pixel). Peaks are
judged without the idle process, of which torch and the weights, the same for both, are half a gigabyte; "share" has it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from paired import HEADER, alternate, peak_apart, picture, print_peak, record, record_peaks, sides
from rescale_bench_plugins.arbsr import SCALES
from rescale_bench_plugins.arbsr.layout import ArbRcanLayout
from rescale_bench_plugins.arbsr.network import initial_arb_rcan
from rescale_bench_plugins.arbsr.rescaler import build_arb_rcan
from torch.nn import functional as F

from rescale_bench.api.records import State
from rescale_bench.api.scales import lr_size
from rescale_bench.machine.profiling import count_macs
from rescale_bench.weights.stored import load, save

TOLERANCE = 2e-5
"""Of the largest value."""
MEMORY_GOAL = 3.0
"""A third of the plain module's memory, as a ratio."""

Tensors = Mapping[str, torch.Tensor]
Size = tuple[int, int]
Call = Callable[[], torch.Tensor]


class Plain:
    """ArbRCAN layer by layer (ICCV 2021)."""

    def __init__(self, tensors: Tensors) -> None:
        self.t = tensors

    def __call__(self, lr: torch.Tensor, scale: float, size: Size) -> torch.Tensor:
        """Restore (1, 3, h, w) in [0, 255], even sides, to (1, 3, *size)."""
        return self.conv("add_mean", self.conv("tail.1", self.upsample(self.features(lr, scale), scale, size)), 0)

    def features(self, lr: torch.Tensor, scale: float) -> torch.Tensor:
        """Run the trunk."""
        x = skip = self.conv("head.0", self.conv("sub_mean", lr, 0))
        for group in range(10):
            x = self.adapt(f"sa_adapt.{group}.", self.group(f"body.{group}.body.", x), scale)
        return self.conv("body.10", x) + skip

    def conv(self, key: str, x: torch.Tensor, padding: int = 1) -> torch.Tensor:
        """Convolve."""
        return F.conv2d(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"], padding=padding)

    def linear(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Multiply by a matrix."""
        return F.linear(x, self.t[f"{key}.weight"], self.t[f"{key}.bias"])

    def norm(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Normalise as in eval mode."""
        return F.batch_norm(x, *(self.t[f"{key}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")))

    def group(self, key: str, x: torch.Tensor) -> torch.Tensor:
        """Run a residual group."""
        y = x
        for block in range(20):
            body = f"{key}{block}.body."
            found = self.conv(f"{body}2", self.conv(f"{body}0", y).relu())
            gain = self.conv(f"{body}3.conv_du.0", found.mean((2, 3), keepdim=True), 0).relu()
            y = y + found * self.conv(f"{body}3.conv_du.2", gain, 0).sigmoid()
        return x + self.conv(f"{key}20", y)

    def adapt(self, key: str, x: torch.Tensor, scale: float) -> torch.Tensor:
        """Adapt features to the scale."""
        given = torch.tensor([1 / scale, 1 / scale])
        shares = self.linear(f"{key}adapt.routing.2", self.linear(f"{key}adapt.routing.0", given).relu()).softmax(0)
        kernel = (shares[:, None, None, None, None] * self.t[f"{key}adapt.weight_pool"]).sum(0)
        mask = F.avg_pool2d(self.norm(f"{key}mask.1", self.conv(f"{key}mask.0", x)).relu(), 2)
        for index in (4, 7):
            mask = self.norm(f"{key}mask.{index + 1}", self.conv(f"{key}mask.{index}", mask)).relu()
        mask = F.interpolate(mask, scale_factor=2, mode="bilinear", align_corners=False)
        mask = self.norm(f"{key}mask.12", self.conv(f"{key}mask.11", mask)).sigmoid()
        return x + mask * F.conv2d(x, kernel, padding=1)

    def upsample(self, x: torch.Tensor, scale: float, size: Size) -> torch.Tensor:
        """Resample features by the scale."""
        centres = [(torch.arange(side, dtype=torch.float64) + 0.5) / scale for side in size]
        rel_v, rel_h = ((c - (c + 1e-3).floor() - 0.5).float() for c in centres)
        base_y, base_x = ((c - 0.5).float() for c in centres)
        base = torch.stack((base_x.expand(size), base_y[:, None].expand(size)), -1)[None]
        hidden = torch.stack([torch.full(size, 1 / scale)] * 2 + [rel_v[:, None].expand(size), rel_h.expand(size)])[
            None
        ]
        for index in (0, 2):
            hidden = self.conv(f"sa_upsample.body.{index}", hidden, 0).relu()
        offset = self.conv("sa_upsample.offset", hidden, 0).permute(0, 2, 3, 1)
        shares = self.conv("sa_upsample.routing.0", hidden, 0).sigmoid()[0].permute(1, 2, 0).flatten(0, 1)
        span = torch.tensor([x.shape[3] - 1, x.shape[2] - 1])
        f = F.grid_sample(x, (base + offset) * 2 / span - 1, "bilinear", "zeros", align_corners=True)
        pools = [self.t[f"sa_upsample.weight_{name}"][..., 0, 0] for name in ("compress", "expand")]
        # Per pixel: one 8×64 and one 64×8 matrix, mixed from the experts.
        compress, expand = ((shares @ pool.flatten(1)).view(-1, *pool.shape[1:]) for pool in pools)
        pixels = f[0].flatten(1).T[:, :, None]
        return f + (expand @ (compress @ pixels))[:, :, 0].T.view(f.shape)


def sizes(text: str, scale: float) -> tuple[Size, Size]:
    """Return the LR's size, each side made even, as the plain module needs, and the full size that it gives."""
    height, width = (side + side % 2 for side in lr_size(sides(text), scale))
    return (height, width), (round(height * scale), round(width * scale))


def times(text: str, scale: float, rounds: int) -> None:
    """Compare outputs and time. Raises SystemExit where outputs differ by over TOLERANCE."""
    small, size = sizes(text, scale)
    tensors = initial_arb_rcan(ArbRcanLayout(), 0)
    network, plain = build_arb_rcan({"any": State(tensors)}, "cpu", SCALES).network, Plain(tensors)
    levels = picture(*small) * 255
    x = plain.features(levels, scale)
    rows = x.contiguous(memory_format=torch.channels_last)
    pairs: dict[str, tuple[Call, Call]] = {
        "up": (lambda: network(levels, (scale, scale), size), lambda: plain(levels, scale, size)),
        "upsampler": (
            lambda: torch.cat(list(network.sa_upsample.rows(rows, (1 / scale, 1 / scale), size)), 2),
            lambda: plain.upsample(x, scale, size),
        ),
    }
    for name, (mine, theirs) in pairs.items():
        expected = theirs()
        difference = float((mine() - expected).abs().max() / expected.abs().max())
        case = f"arb-rcan {scale:g} {name} {text}"
        if difference > TOLERANCE:
            raise SystemExit(f"{case}: outputs differ by {difference:.1e} of the largest")
        note = f"difference {difference:.0e}"
        record(case, *alternate(mine, theirs, rounds), goal=1.0, macs=count_macs(theirs), note=note)


def peak(text: str, scale: float, who: str, weights: Path) -> None:
    """Print the peak of one call, in a process that has read the weights from a file, as a run does."""
    tensors, _ = load(weights)
    module = Plain(tensors) if who == "plain" else build_arb_rcan({"any": State(tensors)}, "cpu", SCALES).network
    if who == "ours":
        tensors.clear()

    def call(lr: Size, by: float, size: Size) -> torch.Tensor:
        return module(picture(*lr) * 255, (by, by) if who == "ours" else by, size)

    small, size = sizes(text, scale)
    print_peak(lambda: call((32, 32), 2.0, (64, 64)), lambda: call(small, scale, size))


def memory(text: str, scale: float, threads: int) -> None:
    """Compare peaks, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "any.safetensors"
        save(weights, initial_arb_rcan(ArbRcanLayout(), 0), {})
        asked = ["--sizes", text, "--scales", str(scale), "--threads", str(threads), "--weights", str(weights)]
        mine, theirs = (peak_apart(__file__, *asked, "--only", who) for who in ("ours", "plain"))
    record_peaks(f"arb-rcan {scale:g} up {text}", mine, theirs, MEMORY_GOAL, net=True)


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="512x384", help="of the restored image: 512 or 1024x768")
    parser.add_argument("--scales", default="2,2.75")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="times, memory, or (for one size and scale) ours, plain")
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases = [(size, float(scale)) for size in given.sizes.split(",") for scale in given.scales.split(",")]
    if given.only in ("ours", "plain"):
        peak(*cases[0], given.only, given.weights)
        return
    print(HEADER)
    for size, scale in cases:
        if given.only != "memory":
            times(size, scale, given.rounds)
        if given.only != "times":
            memory(size, scale, given.threads)


if __name__ == "__main__":
    main()

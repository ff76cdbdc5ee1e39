"""Time and peak memory of CAR+EDSR, paired against plain modules written from the spec.

    python benchmarks/car.py [--sizes 512] [--scales 2,4] [--rounds 3] [--threads 2]

Same weights, same image, one process, alternating, medians of the ratios within a pair. The plain sampler
walks over the taps and gathers each of the four neighbours; the plain networks keep whole NCHW feature maps.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial

import torch
from paired import HEADER, compare, picture, sides
from rescale_bench_plugins.car_edsr.kernels import KernelLayout, Resampling, initial_kernels
from rescale_bench_plugins.car_edsr.rescaler import CarRescaler, build_car
from rescale_bench_plugins.car_edsr.sampler import resample
from torch.nn import functional as F

from rescale_bench.api.records import State
from rescale_bench.networks.edsr import EdsrLayout, initial_edsr

Tensors = Mapping[str, torch.Tensor]


def conv(tensors: Tensors, key: str, x: torch.Tensor, reflect: bool = False) -> torch.Tensor:
    weight, bias = tensors[f"{key}.weight"], tensors[f"{key}.bias"]
    pad = weight.shape[-1] // 2
    if reflect and pad:
        return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect"), weight, bias)
    return F.conv2d(x, weight, bias, padding=pad)


def plain_kernels(t: Tensors, hr: torch.Tensor, scale: int) -> Resampling:
    def layers(x: torch.Tensor, *keys: str) -> torch.Tensor:
        for key in keys:
            x = conv(t, key, x, True).relu()
        return x

    def trunk(name: str, x: torch.Tensor) -> torch.Tensor:
        x = conv(t, f"{name}.9.upsample.0", layers(x, *(f"{name}.{index}" for index in (1, 4, 7))))
        return layers(F.pixel_shuffle(x, 8 // scale), f"{name}.11")

    def head(name: str, x: torch.Tensor) -> torch.Tensor:
        return conv(t, f"{name}.4", layers(x, f"{name}.1"), True)

    x = F.leaky_relu(conv(t, "ds_1.1", conv(t, "sub_mean", hr), True), 0.2)
    for level in (2, 4):
        x = conv(t, f"ds_{level}.downsample.1", F.pixel_unshuffle(x, 2))
    skip = x
    for index in range(5):
        inner = F.leaky_relu(conv(t, f"res_4.{index}.transform.1", x, True), 0.2)
        x = x + conv(t, f"res_4.{index}.transform.4", inner, True)
    x = conv(t, "ds_8.downsample.1", F.pixel_unshuffle(x + skip, 2))
    kernels = head("kernels_weight", trunk("kernels_trunk", x)).clamp(1e-6, 1)
    kernels = kernels / kernels.sum(1, keepdim=True).clamp(min=1e-6)
    moves = trunk("offsets_trunk", x)
    return Resampling(kernels, *(head(f"offsets_{axis}_generation", moves).tanh() for axis in "hv"))


def plain_sampler(hr: torch.Tensor, by: Resampling, scale: int) -> torch.Tensor:
    side = 3 * scale + 1
    padded = F.pad(hr, (side // 2,) * 4, mode="reflect")[0]
    height, width = padded.shape[1:]
    rows, columns = (torch.arange(count) for count in by.kernels.shape[2:])
    total = torch.zeros(3, *by.kernels.shape[2:])
    for tap in range(side**2):
        y = ((rows + 0.5) * scale - 0.5 + tap // side)[:, None] + scale * by.offsets_v[0, tap]
        x = (columns + 0.5) * scale - 0.5 + tap % side + scale * by.offsets_h[0, tap]
        down, right = y - y.floor(), x - x.floor()
        top, left = y.floor().long().clamp(0, height - 1), x.floor().long().clamp(0, width - 1)
        bottom, after = (top + 1).clamp(max=height - 1), (left + 1).clamp(max=width - 1)
        upper = padded[:, top, left] * (1 - right) + padded[:, top, after] * right
        lower = padded[:, bottom, left] * (1 - right) + padded[:, bottom, after] * right
        total += by.kernels[0, tap] * (upper * (1 - down) + lower * down)
    return total[None]


def plain_edsr(t: Tensors, lr: torch.Tensor, scale: int) -> torch.Tensor:
    x = skip = conv(t, "head.0", conv(t, "sub_mean", lr))
    for index in range(32):
        x = x + 0.1 * conv(t, f"body.{index}.body.2", conv(t, f"body.{index}.body.0", x).relu())
    x = conv(t, "body.32", x) + skip
    for index in range(scale // 2):
        x = F.pixel_shuffle(conv(t, f"tail.0.{2 * index}", x), 2)
    return conv(t, "add_mean", conv(t, "tail.1", x))


def parts(scale: int, hr: torch.Tensor) -> dict[str, tuple[object, object]]:
    """List what is compared: plain, ours."""
    kgn, usn = initial_kernels(KernelLayout(scale), 0), initial_edsr(EdsrLayout(32, 256, scale), 0)
    rescaler = build_car({f"kgn-x{scale}": State(kgn), f"usn-x{scale}": State(usn)}, "cpu")
    if not isinstance(rescaler, CarRescaler):
        raise SystemExit(f"no CAR for scale {scale}")
    by = plain_kernels(kgn, hr, scale)
    lr = plain_sampler(hr, by, scale).clamp(0, 1).mul(255).round().div(255)
    return {
        "down": (
            lambda: plain_sampler(hr, plain_kernels(kgn, hr, scale), scale),
            partial(rescaler.downscale, hr, scale),
        ),
        "sampler": (partial(plain_sampler, hr, by, scale), partial(resample, hr, by, scale)),
        "up": (partial(plain_edsr, usn, lr, scale), partial(rescaler.upscale, lr, scale, hr.shape[2:])),
    }


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="512", help="of the HR, multiples of 8: 512 or 1024x768")
    parser.add_argument("--scales", default="2,4")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(HEADER)
    for size in given.sizes.split(","):
        for scale in map(int, given.scales.split(",")):
            for part, (plain, ours) in parts(scale, picture(*sides(size))).items():
                compare(f"car x{scale} {part} {size}", plain, ours, given.rounds, 1.0, 2e-5)


if __name__ == "__main__":
    main()

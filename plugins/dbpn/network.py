"""D-DBPN: deep back-projection networks (Haris et al., CVPR 2018; arXiv 1904.05677), keys as published."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from rescale_bench.images.levels import to_levels
from rescale_bench.images.resize import Cubic
from rescale_bench.networks.super_resolution import SuperResolution

FEATURES, WIDTH = 256, 64
HALF = 1 << 21
"""Half of what stands for 1 in Pillow's weights."""

PROJECTION = {2: (6, 2, 2), 4: (8, 4, 2), 8: (12, 8, 2)}
"""Kernel, stride and padding of the projections, by scale (CVPR 2018, sec. 4.1)."""


class Dbpn(SuperResolution):
    """Map (N, 3, h, w) to (N, 3, s·h, s·w), both in [0, 1].

    HR maps are projected down and LR maps up in turn; each unit sees all earlier maps of its input's size.
    """

    def __init__(self, scale: int, stages: int, rounds: int = 1) -> None:
        """Set the scale (2, 4 or 8), the number T of HR maps, and how often the chain runs (dbpn-res-mr64-3: 3)."""
        super().__init__(scale)
        self.stages, self.rounds = stages, rounds
        self.feat0 = Convolution(3, FEATURES, 3, 1, 1)
        self.feat1 = Convolution(FEATURES, WIDTH, 1, 1, 0)
        for stage in range(1, stages + 1):
            self.add_module(f"up{stage}", UpProjection(scale, max(1, stage - 1)))
            if stage < stages:
                self.add_module(f"down{stage}", DownProjection(scale, stage))
        outputs = stages if rounds == 1 else rounds
        self.output_conv = Convolution(outputs * WIDTH, 3, 3, 1, 1, activated=False)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image in [0, 1], or what is added to the enlarged LR where the chain runs several times."""
        x = self.feat1(self.feat0(lr))
        lasts: list[torch.Tensor] = []
        for _ in range(self.rounds):
            x, maps = self._chain(x)
            lasts.append(maps[0])
        result: torch.Tensor = self.output_conv(torch.cat(maps if self.rounds == 1 else lasts, 1))
        return result

    def _chain(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Run up1, down1, …, up T; return the last LR map and all HR maps, the newest first."""
        large: list[torch.Tensor] = []
        small: list[torch.Tensor] = []
        for stage in range(1, self.stages + 1):
            large.insert(0, self.get_submodule(f"up{stage}")(torch.cat(small, 1) if small else x))
            if stage < self.stages:
                small.insert(0, self.get_submodule(f"down{stage}")(torch.cat(large, 1)))
        return small[0], large

    def restore(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image in [0, 1]."""
        restored: torch.Tensor = self(lr)
        return restored if self.rounds == 1 else restored + pillow_bicubic(lr, self.scale)


class Convolution(nn.Module):
    """A convolution and, unless told otherwise, a PReLU with one slope; keys `conv`, `act`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, activated: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        self.act = nn.PReLU() if activated else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, h, w) to (N, outputs, h / stride, w / stride)."""
        result: torch.Tensor = self.conv(x)
        return result if self.act is None else self.act(result)


class Transposed(nn.Module):
    """A transposed convolution and a PReLU with one slope; keys `deconv`, `act`."""

    def __init__(self, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(WIDTH, WIDTH, kernel, stride, padding)
        self.act = nn.PReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64, h, w) to (N, 64, stride·h, stride·w)."""
        result: torch.Tensor = self.act(self.deconv(x))
        return result


class UpProjection(nn.Module):
    """Enlarge, and correct by what shrinking it again misses (CVPR 2018, eq. 1 to 5)."""

    def __init__(self, scale: int, maps: int) -> None:
        super().__init__()
        self.conv = Convolution(maps * WIDTH, WIDTH, 1, 1, 0) if maps > 1 else None
        self.up_conv1 = Transposed(*PROJECTION[scale])
        self.up_conv2 = Convolution(WIDTH, WIDTH, *PROJECTION[scale])
        self.up_conv3 = Transposed(*PROJECTION[scale])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64·maps, h, w) to (N, 64, s·h, s·w)."""
        x = x if self.conv is None else self.conv(x)
        first = self.up_conv1(x)
        result: torch.Tensor = first + self.up_conv3(self.up_conv2(first) - x)
        return result


class DownProjection(nn.Module):
    """Shrink, and correct by what enlarging it again misses (CVPR 2018, eq. 6 to 10)."""

    def __init__(self, scale: int, maps: int) -> None:
        super().__init__()
        self.conv = Convolution(maps * WIDTH, WIDTH, 1, 1, 0) if maps > 1 else None
        self.down_conv1 = Convolution(WIDTH, WIDTH, *PROJECTION[scale])
        self.down_conv2 = Transposed(*PROJECTION[scale])
        self.down_conv3 = Convolution(WIDTH, WIDTH, *PROJECTION[scale])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 64·maps, s·h, s·w) to (N, 64, h, w)."""
        x = x if self.conv is None else self.conv(x)
        first = self.down_conv1(x)
        result: torch.Tensor = first + self.down_conv3(self.down_conv2(first) - x)
        return result


def pillow_bicubic(lr: torch.Tensor, scale: int) -> torch.Tensor:
    """Enlarge (N, 3, h, w) in [0, 1] as Pillow enlarges its 8-bit image, on any device; returns 8 bit in [0, 1].

    Pillow's rule: columns before rows, 8 bit between them, weights in steps of 2^-22 that sum to 1 at the borders too.
    """
    levels = to_levels(lr.clamp(0, 1), "round").to(torch.float64)
    for axis in (-1, -2):
        total = torch.zeros((), dtype=torch.float64, device=lr.device)
        for pixel, weight in _pillow_taps(levels.shape[axis], scale, lr.device):
            total = total + levels.index_select(axis, pixel) * (weight[:, None] if axis == -2 else weight)
        levels = total.add_(HALF).div_(2 * HALF).floor_().clamp_(0, 255)
    return levels.div_(255).to(lr.dtype)


def _pillow_taps(side: int, scale: int, device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield pixel and weight times 2^22 of each tap, both (side·scale,)."""
    centre = (np.arange(side * scale) + 0.5) / scale
    pixels = np.floor(centre - 1.5)[:, None] + np.arange(5)
    inside = (pixels >= 0) & (pixels < side)
    weights = np.where(inside, Cubic(0, 0.5)(pixels + 0.5 - centre[:, None]), 0.0)
    weights = 2 * HALF * weights / weights.sum(axis=1, keepdims=True)
    steps = np.trunc(weights + np.copysign(0.5, weights))
    clipped = pixels.clip(0, side - 1).astype(np.int64)
    for tap in range(5):
        yield torch.tensor(clipped[:, tap], device=device), torch.tensor(steps[:, tap], device=device)

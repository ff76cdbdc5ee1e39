"""EDSR: the residual network for integer-scale super-resolution.

Source: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution" (CVPRW 2017), Fig. 3.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from rescale_bench.errors import WeightsError
from rescale_bench.machine.profiling import counting
from rescale_bench.networks.loading import load_strict, seeded_tensors
from rescale_bench.networks.residual import (
    MeanShift,
    ResidualBlock,
    channels_last,
    conv3,
    refine,
    strips,
    upsampler,
    widen,
)
from rescale_bench.networks.super_resolution import SuperResolution

PUBLISHED_RESIDUAL_SCALE = 0.1
"""Of the 32-block, 256-channel model (EDSR, sec. 3.1); CAR keeps it. The 16-block baseline uses 1."""

TAIL_HALO = 2
"""LR rows around a strip that upsampler and last convolution see: 1 + 1/2 + 1/4 at x4, 1 + 1/3 at x3."""

TAIL_PIXELS = 1 << 12
"""LR pixels of a strip in the upsampler, whose maps are scale² times larger."""


@dataclass(frozen=True)
class EdsrLayout:
    """The sizes that fix every tensor of an EDSR: residual blocks, channels, scale (2, 3 or 4)."""

    blocks: int
    width: int
    scale: int

    @classmethod
    def infer(cls, tensors: Mapping[str, torch.Tensor], where: str) -> EdsrLayout:
        """Read the layout off published keys and shapes. Raises WeightsError, beginning with where."""
        try:
            width, colours = tensors["head.0.weight"].shape[:2]
            ups = [tensors[key].shape[0] for key in ("tail.0.0.weight", "tail.0.2.weight") if key in tensors]
        except KeyError as error:
            raise WeightsError(f"{where}: not an EDSR: no tensor {error}") from None
        blocks = {int(found[1]) for key in tensors if (found := re.match(r"body\.(\d+)\.body\.", key))}
        factors = [math.isqrt(outputs // width) for outputs in ups]
        known = all(factor**2 * width == outputs for factor, outputs in zip(factors, ups, strict=True))
        if colours != 3 or not blocks or not known or math.prod(factors) not in (2, 3, 4) or not ups:
            raise WeightsError(
                f"{where}: not an EDSR of scale 2, 3 or 4: head {width}×{colours}, "
                f"{len(blocks)} residual blocks, upsampling convolutions to {ups} channels"
            )
        return cls(max(blocks) + 1, width, math.prod(factors))

    @property
    def halo(self) -> int:
        """Count the LR pixels around a pixel beyond which its restored block sees nothing."""
        return 1 + 2 * self.blocks + 1 + TAIL_HALO


class Edsr(SuperResolution):
    """Restore (N, 3, h, w) to (N, 3, s·h, s·w), unclamped; keys as in published checkpoints."""

    def __init__(self, layout: EdsrLayout, residual_scale: float) -> None:
        """Take the layout and the factor in front of each residual."""
        super().__init__(layout.scale)
        width = layout.width
        self.layout = layout
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(+1)
        self.head = nn.Sequential(conv3(3, width))
        blocks = [ResidualBlock(width, residual_scale) for _ in range(layout.blocks)]
        self.body = nn.Sequential(*blocks, conv3(width, width))
        self.tail = nn.Sequential(upsampler(width, layout.scale), conv3(width, 3))

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        """Restore an image in the network's own range; whole for autograd, else in strips with equal results."""
        if not (torch.is_grad_enabled() or counting()):
            return self._lean(lr)
        x = self.head(self.sub_mean(lr))
        result: torch.Tensor = self.add_mean(self.tail(self.body(x) + x))
        return result

    def _lean(self, lr: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.head(self.sub_mean(lr))
        for block in self.body:
            if isinstance(block, ResidualBlock):
                block.refine(x)
        last = self.body[self.layout.blocks]
        # The outer skip is computed again from the image instead of being kept: it costs next to nothing.
        refine(x, 1, lambda window, rows: last(window).add_(self.head(self.sub_mean(lr[:, :, rows]))))
        return self._enlarge(x)

    def _enlarge(self, x: torch.Tensor) -> torch.Tensor:
        scale, (count, _, height, width) = self.layout.scale, x.shape
        hr = x.new_empty((count, 3, height * scale, width * scale))
        for rows in strips(height, width, TAIL_HALO, TAIL_PIXELS):
            window = widen(rows, TAIL_HALO, height)
            part = self.add_mean(self.tail(x[:, :, window]))
            first = (rows.start - window.start) * scale
            hr[:, :, rows.start * scale : rows.stop * scale] = part[
                :, :, first : first + (rows.stop - rows.start) * scale
            ]
        return hr


def load_edsr(tensors: Mapping[str, torch.Tensor], residual_scale: float, device: str, where: str) -> Edsr:
    """Build the network that a published state describes, ready for inference.

    Raises WeightsError, beginning with where, for a state that is not an EDSR's.
    """
    layout = EdsrLayout.infer(tensors, where)
    with torch.device("meta"):
        network = Edsr(layout, residual_scale)
    return channels_last(load_strict(network, tensors, where)).to(device)


def residual_scale(metadata: Mapping[str, str], default: float, where: str) -> float:
    """Read the residual scale of a state's metadata. Raises WeightsError where it is not a number."""
    text = metadata.get("residual_scale", str(default))
    try:
        return float(text)
    except ValueError:
        raise WeightsError(f"{where}: metadata residual_scale={text} is not a number") from None


def initial_edsr(layout: EdsrLayout, seed: int) -> dict[str, torch.Tensor]:
    """Draw a fresh state in the published layout from torch's default initialisation and a seed."""
    return seeded_tensors(lambda: Edsr(layout, 1.0), seed)

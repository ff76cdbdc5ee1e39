"""ArbRCAN (Wang et al., ArbSR, ICCV 2021)."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from rescale_bench.errors import MethodError
from rescale_bench.machine.profiling import counting
from rescale_bench.networks.lines import Skip, convolution
from rescale_bench.networks.loading import seeded_tensors
from rescale_bench.networks.padding import crop, pad_to_multiple
from rescale_bench.networks.residual import MeanShift, conv3

from .layout import ArbRcanLayout
from .trunk import Group, MaskedAdaption, Steps, fill
from .upsampler import ScaleAwareUpsampler

SPAN = 255
"""Largest value of a pixel, as the network takes and gives them."""


class ArbRcan(nn.Module):
    """Restore an LR at any scale; keys as published."""

    def __init__(self, layout: ArbRcanLayout) -> None:
        """Take the sizes."""
        super().__init__()
        width = layout.width
        self.layout = layout
        self.sub_mean, self.add_mean = MeanShift(-1, SPAN), MeanShift(+1, SPAN)
        self.head = nn.Sequential(conv3(3, width))
        self.body = nn.Sequential(*(Group(layout) for _ in range(layout.groups)), conv3(width, width))
        self.sa_adapt = nn.ModuleList(MaskedAdaption(layout) for _ in range(layout.groups))
        self.sa_upsample = ScaleAwareUpsampler(layout)
        # Index 0 is the upsampler in the published file, which has no tensors there.
        self.tail = nn.Sequential(nn.Identity(), conv3(width, 3))

    def forward(self, lr: torch.Tensor, scales: tuple[float, float], size: tuple[int, int]) -> torch.Tensor:
        """Restore (N, 3, h, w) in [0, 255] to (N, 3, *size), unclamped, by scales (vertical, horizontal).

        Whole for autograd, in training mode and where operations are counted; else image by image, with equal results.
        An odd side is extended by one reflected row or column, since the adaption's mask is made at half the size.
        Pixels are those of the published network's full size, round(side · scale), whatever part is asked for. Raises
        MethodError for an LR of one row or column, whose coordinates divide by zero.
        """
        if min(lr.shape[-2:]) < 2:
            shape = "×".join(map(str, lr.shape[-2:]))
            raise MethodError(f"arb-rcan: an LR of {shape} has no sampling grid; both sides must be 2 or more")
        steps = (1 / scales[0], 1 / scales[1])
        shifted = self.sub_mean(pad_to_multiple(lr, 2))
        # The last convolution sees one row and column beyond those asked for, where the full size has them.
        full = (round(side * scale) for side, scale in zip(shifted.shape[-2:], scales, strict=True))
        height, width = (max(wanted, min(wanted + 1, most)) for wanted, most in zip(size, full, strict=True))
        if torch.is_grad_enabled() or self.training or counting():
            return crop(self._whole(shifted, steps, (height, width)), size)
        images = [self._lean(single, steps, (height, width)) for single in torch.split(shifted, 1)]
        return crop(torch.cat(images), size).contiguous()

    def _whole(self, shifted: torch.Tensor, steps: Steps, size: tuple[int, int]) -> torch.Tensor:
        x = skip = self.head(shifted)
        for group, adaption in self._groups():
            x = adaption(group(x), steps)
        x = self.sa_upsample(self.body[-1](x) + skip, steps, size)
        result: torch.Tensor = self.add_mean(self.tail(x))
        return result

    def _lean(self, shifted: torch.Tensor, steps: Steps, size: tuple[int, int]) -> torch.Tensor:
        x = self.head(shifted).contiguous(memory_format=torch.channels_last)
        spare = torch.empty_like(x)
        for group, adaption in self._groups():
            group.refine(x, spare)
            adaption.refine(x, spare, steps)
        fill(spare, x, convolution(self.body[-1]), Skip(convolution(self.head[0]), shifted))
        del x
        tail, result, done, bottom = convolution(self.tail[1]), shifted.new_empty((1, 3, *size)), 0, 0
        for strip in self.sa_upsample.rows(spare, steps, size):
            bottom += strip.shape[2]
            part = tail.push(strip, bottom == size[0])
            result[:, :, done : done + part.shape[2]] = part
            done += part.shape[2]
        shifted_back: torch.Tensor = self.add_mean(result)
        return shifted_back

    def _groups(self) -> list[tuple[Group, MaskedAdaption]]:
        groups, adaptions = list(self.body)[:-1], list(self.sa_adapt)
        return list(zip(cast(list[Group], groups), cast(list[MaskedAdaption], adaptions), strict=True))


def initial_arb_rcan(layout: ArbRcanLayout, seed: int) -> dict[str, torch.Tensor]:
    """Draw a fresh state in the published layout from torch's default initialisation and a seed."""
    return seeded_tensors(lambda: ArbRcan(layout), seed)

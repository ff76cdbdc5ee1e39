"""AIDN: invertible downscaling by any factor (Xing, Hu, Wong, arXiv 2201.12576)."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from rescale_bench.errors import MethodError
from rescale_bench.networks.lines import Layer, Skip, convolution, stream
from rescale_bench.networks.loading import seeded_tensors
from rescale_bench.networks.residual import MeanShift, ResidualBlock, conv3

from .adaption import ScaleAdaption
from .band import BACK, RowsGoneError
from .layout import AidnLayout
from .resampling import ConditionalResampling, ShuffledResampling


class AidnHalf(nn.Module):
    """Encoder or decoder: residual trunk adapted to the scale, conditional resampling, one convolution to RGB."""

    def __init__(self, layout: AidnLayout, shrinks: bool) -> None:
        """Take the sizes, and whether it is the encoder."""
        super().__init__()
        width = layout.width
        self.layout = layout
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(+1)
        self.head = nn.Sequential(conv3(3, width))
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(layout.blocks)), conv3(width, width))
        self.sa_adapt = nn.ModuleList(ScaleAdaption(layout) for _ in range(layout.adaptions))
        self.sa_sample = ConditionalResampling(layout) if layout.crm else ShuffledResampling(layout, shrinks)
        # Index 0 is the resampling in the published file, which has no tensors there.
        self.tail = nn.Sequential(nn.Identity(), conv3(width, 3))

    def forward(self, image: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample (N, 3, H, W) in [0, 1] to (N, 3, *size), unclamped.

        step: 1/σ, source pixels per output pixel: the scale s in the encoder, 1/s in the decoder.
        Whole for autograd, in training mode and without CRM, as a stream of rows with equal results otherwise.
        Raises MethodError for images of one row or column: their coordinates divide by zero.
        """
        if min(image.shape[-2:]) < 2:
            shape = "×".join(map(str, image.shape[-2:]))
            raise MethodError(f"aidn: an image of {shape} pixels has no sampling grid; both sides must be 2 or more")
        if torch.is_grad_enabled() or self.training or not isinstance(self.sa_sample, ConditionalResampling):
            return self._whole(image, step, size)
        return torch.cat([self._streamed(self.sa_sample, single, step, size) for single in torch.split(image, 1)])

    def _whole(self, image: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        x = skip = self.head(self.sub_mean(image))
        for index, block in enumerate(self._blocks()):
            x = block(x)
            if (adaption := self._adaption_after(index)) is not None:
                x = adaption(x, step)
        x = self.body[self.layout.blocks](x) + skip
        result: torch.Tensor = self.add_mean(self.tail(self.sa_sample(x, step, size)))
        return result

    def _streamed(
        self, module: ConditionalResampling, image: torch.Tensor, step: float, size: tuple[int, int]
    ) -> torch.Tensor:
        shifted = self.sub_mean(image)
        try:
            return self._resampled(module, shifted, step, size, BACK)
        except RowsGoneError:
            return self._resampled(module, shifted, step, size, image.shape[2])

    def _resampled(
        self, module: ConditionalResampling, shifted: torch.Tensor, step: float, size: tuple[int, int], back: int
    ) -> torch.Tensor:
        tail, (height, width) = convolution(self.tail[1]), shifted.shape[2:]
        features = stream(shifted, self.layout.width, self._layers(shifted, step))
        result, done, bottom = shifted.new_empty((1, 3, *size)), 0, 0
        for strip in module.rows(features, (height, width), step, size, back):
            bottom += strip.shape[2]
            part = tail.push(strip, bottom == size[0])
            result[:, :, done : done + part.shape[2]] = part
            done += part.shape[2]
        shifted_back: torch.Tensor = self.add_mean(result)
        return shifted_back

    def _layers(self, shifted: torch.Tensor, step: float) -> list[Layer]:
        layers: list[Layer] = [convolution(self.head[0])]
        for index, block in enumerate(self._blocks()):
            layers.append(block.streamed())
            if (adaption := self._adaption_after(index)) is not None:
                layers.append(adaption.streamed(step))
        return [*layers, convolution(self.body[self.layout.blocks]), Skip(convolution(self.head[0]), shifted)]

    def _blocks(self) -> list[ResidualBlock]:
        return [block for block in self.body if isinstance(block, ResidualBlock)]

    def _adaption_after(self, index: int) -> ScaleAdaption | None:
        each = self.layout.blocks // self.layout.adaptions
        module = self.sa_adapt[index // each] if (index + 1) % each == 0 else None
        return module if isinstance(module, ScaleAdaption) else None


class Aidn(nn.Module):
    """Both halves, with the keys of the published file."""

    def __init__(self, layout: AidnLayout) -> None:
        """Take the sizes."""
        super().__init__()
        self.down_net, self.up_net = AidnHalf(layout, True), AidnHalf(layout, False)

    def routing_weights(self, scale: float) -> dict[str, torch.Tensor]:
        """Say how much of each expert kernel the adaptions of both halves take at a scale (Fig. 7 of the paper)."""
        halves = (("encoder", self.down_net, scale), ("decoder", self.up_net, 1 / scale))
        return {
            f"{name}, adaption {index + 1}": cast(ScaleAdaption, module).adapt.shares((step, step))
            for name, half, step in halves
            for index, module in enumerate(half.sa_adapt)
        }

    def down(self, hr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Map the HR (N, 3, H, W) to the unquantised LR (N, 3, *size)."""
        lr: torch.Tensor = self.down_net(hr, scale, size)
        return lr

    def up(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Map the 8-bit LR in [0, 1] to the restored image (N, 3, *size), unclamped."""
        hr: torch.Tensor = self.up_net(lr, 1 / scale, size)
        return hr


def initial_aidn(layout: AidnLayout, seed: int) -> dict[str, torch.Tensor]:
    """Draw a fresh state in the published layout from torch's default initialisation and a seed."""
    return seeded_tensors(lambda: Aidn(layout), seed)

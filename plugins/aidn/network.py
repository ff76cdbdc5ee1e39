"""AIDN: invertible downscaling by any factor (Xing, Hu, Wong, arXiv 2201.12576)."""

from __future__ import annotations

import torch
from torch import nn

from rescale_bench.errors import MethodError
from rescale_bench.networks.residual import MeanShift, ResidualBlock, conv3, refine

from .adaption import ScaleAdaption
from .layout import AidnLayout
from .resampling import ConditionalResampling


class AidnHalf(nn.Module):
    """Encoder or decoder: residual trunk adapted to the scale, conditional resampling, one convolution to RGB."""

    def __init__(self, layout: AidnLayout) -> None:
        """Take the sizes."""
        super().__init__()
        width = layout.width
        self.layout = layout
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(+1)
        self.head = nn.Sequential(conv3(3, width))
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(layout.blocks)), conv3(width, width))
        self.sa_adapt = nn.ModuleList(ScaleAdaption(layout) for _ in range(layout.adaptions))
        self.sa_sample = ConditionalResampling(layout)
        # Index 0 is the resampling in the published file, which has no tensors there.
        self.tail = nn.Sequential(nn.Identity(), conv3(width, 3))

    def forward(self, image: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample (N, 3, H, W) in [0, 1] to (N, 3, *size), unclamped.

        step: 1/σ, source pixels per output pixel: the scale s in the encoder, 1/s in the decoder.
        Whole for autograd and in training mode, in strips of rows with equal results otherwise.
        Raises MethodError for images of one row or column: their coordinates divide by zero.
        """
        if min(image.shape[-2:]) < 2:
            shape = "×".join(map(str, image.shape[-2:]))
            raise MethodError(f"aidn: an image of {shape} pixels has no sampling grid; both sides must be 2 or more")
        if torch.is_grad_enabled() or self.training:
            return self._whole(image, step, size)
        return torch.cat([self._lean(single, step, size) for single in torch.split(image, 1)])

    def _whole(self, image: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        x = skip = self.head(self.sub_mean(image))
        for index, block in enumerate(self._blocks()):
            x = block(x)
            if (adaption := self._adaption_after(index)) is not None:
                x = adaption(x, step)
        x = self.body[self.layout.blocks](x) + skip
        result: torch.Tensor = self.add_mean(self.tail(self.sa_sample(x, step, size)))
        return result

    def _lean(self, image: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        x = self.head(self.sub_mean(image)).contiguous(memory_format=torch.channels_last)
        for index, block in enumerate(self._blocks()):
            block.refine(x)
            if (adaption := self._adaption_after(index)) is not None:
                adaption.refine(x, step)
        last = self.body[self.layout.blocks]
        # The outer skip is computed again from the image instead of being kept: it costs next to nothing.
        refine(x, 1, lambda window, rows: last(window).add_(self.head(self.sub_mean(image[:, :, rows]))))
        return self._resample(x, step, size)

    def _resample(self, x: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample and convolve to RGB strip by strip; two rows are carried over for the convolution."""
        result = x.new_empty((1, 3, *size))
        carried, done = x[:, :, :0, :0].new_empty((1, x.shape[1], 0, size[1])), 0
        bottom = 0
        for strip in self.sa_sample.rows(x, step, size):
            bottom += strip.shape[2]
            window = torch.cat((carried, strip), 2)
            top = bottom - window.shape[2]
            # The last row of a window still lacks the one below it, except at the bottom of the image.
            stop = bottom if bottom == size[0] else bottom - 1
            result[:, :, done:stop] = self.add_mean(self.tail(window))[:, :, done - top : stop - top]
            carried, done = window[:, :, -2:], stop
        return result

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
        self.down_net, self.up_net = AidnHalf(layout), AidnHalf(layout)

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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Aidn(layout).state_dict()

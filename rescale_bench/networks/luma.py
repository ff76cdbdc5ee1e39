"""Methods that were made for the Y plane alone, as rescalers of colour images."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rescale_bench.api.methods import Rescaler
from rescale_bench.api.scales import lr_size
from rescale_bench.images.color import from_ycbcr, to_ycbcr
from rescale_bench.images.resize import imresize

Half = Callable[[torch.Tensor], torch.Tensor]


class LumaRescaler:
    """Give Y to a Rescaler of one channel, and resample Cb and Cr by MATLAB's bicubic.

    Y is BT.601's in [16, 235]/255, unrounded. An image whose three channels are equal is its own Y in full range, as
    in SRCNN's program; so under a protocol that works on Y the inner Rescaler gets that plane itself. What is grey is
    a fact of the whole image: such a method has no margin.
    """

    def __init__(self, inner: Rescaler) -> None:
        """Take a Rescaler whose halves map (N, 1, H, W) to (N, 1, …)."""
        self.inner = inner
        self.parameter_count = inner.parameter_count

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR of size ceil(H/scale) × ceil(W/scale)."""
        size = lr_size((hr.shape[-2], hr.shape[-1]), scale)
        return self._each(
            hr, lambda y: self.inner.downscale(y, scale), lambda planes: imresize(planes, 1 / scale, size)
        )

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of exactly the given (height, width)."""
        return self._each(
            lr, lambda y: self.inner.upscale(y, scale, size), lambda planes: imresize(planes, scale, size)
        )

    def compile_networks(self) -> None:
        """Compile what the inner Rescaler gains from."""
        from rescale_bench.networks.compiling import compile_rescaler

        self.inner = compile_rescaler(self.inner)

    def _each(self, images: torch.Tensor, luma: Half, chroma: Half) -> torch.Tensor:
        if len(images) > 1:
            return torch.cat([self._each(image, luma, chroma) for image in torch.split(images, 1)])
        if torch.equal(images, images[:, :1].expand_as(images)):
            return luma(images[:, :1]).expand(-1, 3, -1, -1)
        planes = to_ycbcr(images)
        y = luma(planes[:, :1].to(images.dtype)).to(planes.dtype)
        return from_ycbcr(torch.cat([y, chroma(planes[:, 1:])], dim=1))

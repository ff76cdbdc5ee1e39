"""Conditional resampling module (Xing et al., arXiv 2201.12576, Fig. 4, Eq. 1-3)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.networks.lines import slab_rows
from rescale_bench.networks.sampling import lines_touched, sample_map, sample_rows, source_positions
from rescale_bench.networks.scale_aware import ExpertResampling, mix_pixels

from .band import Band
from .layout import GIVEN, AidnLayout

LEAST_ROWS = 4
"""Output rows of a strip, however many source rows they span."""


class ConditionalResampling(ExpertResampling):
    """Resample features to any size; the prediction sees the scale, the place in the source pixel and the features."""

    def __init__(self, layout: AidnLayout) -> None:
        """Take the sizes."""
        self.content = layout.content
        super().__init__(GIVEN + layout.width * self.content, layout.width, layout.experts, layout.reduced)

    def forward(self, features: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample (N, width, h, w) to (N, width, *size) with 1/σ = step; for autograd."""
        count = features.shape[0]
        (y, rel_h), (x, rel_w) = (source_positions(side, step, features) for side in size)
        y, x = (plane.expand(count, *size) for plane in (y[:, None], x[None]))
        planes = [rel_h[:, None].expand(size), rel_w.expand(size)]
        given = torch.stack([torch.full_like(planes[0], step)] * 2 + planes).expand(count, -1, -1, -1)
        seen = [sample_map(features, x, y)] if self.content else []
        offset, shares = self.predict(torch.cat((given, *seen), 1))
        return self.mix(sample_map(features, x + offset[:, 0], y + offset[:, 1]), shares)

    def rows(
        self, features: Iterator[torch.Tensor], source: tuple[int, int], step: float, size: tuple[int, int], back: int
    ) -> Iterator[torch.Tensor]:
        """Yield the resampled map (1, width, *size) strip by strip, channels last.

        features: the map (1, width, *source) in slabs of rows, channels last. back: source rows kept above the one
        that an output row lies on. Raises RowsGoneError where an offset leads further up.
        """
        sampler = _RowSampler(self, features, source, step, size)
        width = len(self.body[2].weight)  # type: ignore[arg-type]  # a convolution
        # A strip neither holds more pixels nor spans more of the source than a slab does.
        span = int(slab_rows(source[1], width, self.weight_compress.device) / step)
        count = max(LEAST_ROWS, min(span, slab_rows(size[1], width, self.weight_compress.device)))
        for start in range(0, size[0], count):
            yield sampler(slice(start, min(start + count, size[0])), back)


class ShuffledResampling(nn.Module):
    """Resample features by pixel shuffle in place of the module: the ablation "w/o CRM" (Table 3).

    The paper does not say how a shuffle serves fractions. Here a 3×3 convolution for each whole factor b = ⌈s⌉ goes
    with a shuffle by b, and bilinear interpolation bridges b and s: before the encoder's unshuffle, after the
    decoder's shuffle.
    """

    def __init__(self, layout: AidnLayout, shrinks: bool) -> None:
        """Take the sizes, and the direction."""
        super().__init__()
        self.shrinks, width = shrinks, layout.width
        sides = {b: (width * b**2, width) if shrinks else (width, width * b**2) for b in (2, 3, 4)}
        self.convolutions = nn.ModuleDict({str(b): nn.Conv2d(*channels, 3, padding=1) for b, channels in sides.items()})

    def forward(self, features: torch.Tensor, step: float, size: tuple[int, int]) -> torch.Tensor:
        """Resample (N, width, h, w) to (N, width, *size) with 1/σ = step."""
        # 1/step may lie a little above the whole scale that it is.
        factor = math.ceil(round(step if self.shrinks else 1 / step, 9))
        convolution: nn.Module = self.convolutions[str(factor)]
        if self.shrinks:
            large = (size[0] * factor, size[1] * factor)
            shrunk: torch.Tensor = convolution(functional.pixel_unshuffle(_bilinear(features, large), factor))
            return shrunk
        return _bilinear(functional.pixel_shuffle(convolution(features), factor), size)


def _bilinear(features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if features.shape[2:] == size:
        return features
    return functional.interpolate(features, size=size, mode="bilinear", align_corners=False)


class _RowSampler:
    """Compute strips of the resampled map on matrices of pixels × channels."""

    def __init__(
        self,
        module: ConditionalResampling,
        features: Iterator[torch.Tensor],
        source: tuple[int, int],
        step: float,
        size: tuple[int, int],
    ) -> None:
        """Prepare what all strips share: the band of source rows, positions, and the matrices."""
        self.width, self.source = size[1], source
        like = module.weight_compress
        (self.y, rel_h), (self.x, rel_w) = (source_positions(side, step, like) for side in size)
        first, second = cast(nn.Conv2d, module.body[0]), cast(nn.Conv2d, module.body[2])
        given, self.first = first.weight[:, :GIVEN, 0, 0], first.weight[:, GIVEN:, 0, 0].contiguous()
        # The four given channels depend on the row or on the column alone.
        self.row_term = rel_h[:, None] * given[:, 2] + ((given[:, 0] + given[:, 1]) * step + _bias(first))
        self.column_term = rel_w[:, None] * given[:, 3]
        # Sampling and a 1×1 convolution commute: where the output is larger, convolve the source instead.
        self.content = module.content
        self.early = self.content and step < 1
        self.band = Band(features, (lambda pixels: functional.linear(pixels, self.first)) if self.early else None)
        self.second, self.second_bias = second.weight[:, :, 0, 0], second.bias
        heads = (module.offset, cast(nn.Conv2d, module.routing[0]))
        self.heads = torch.cat([head.weight[:, :, 0, 0] for head in heads])
        self.heads_bias = torch.cat([_bias(head) for head in heads])
        self.compress, self.expand = module.compress(), module.expand()

    def __call__(self, rows: slice, back: int) -> torch.Tensor:
        """Return (1, width, rows, W), channels last."""
        count = rows.stop - rows.start
        lines = self.y[rows]
        y, x = lines.repeat_interleave(self.width), self.x.repeat(count)
        highest, _ = touched = lines_touched(lines, self.source[0])
        self.band.drop(highest - back, self.source[1])
        self.band.need(*touched)
        offset, shares = self._predict(rows, x, y)
        x, y = x.add_(offset[:, 0]), y.add_(offset[:, 1])
        self.band.need(*lines_touched(y, self.source[0]))
        sampled = sample_rows(self.band.table, self.source, x, y, self.band.top)
        result = mix_pixels(sampled, shares, self.compress, self.expand)
        return result.view(1, count, self.width, -1).permute(0, 3, 1, 2)

    def _predict(self, rows: slice, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict offsets (P, 2), x before y, and routing weights (P, experts)."""
        if self.content:
            hidden = sample_rows(self.band.guide, self.source, x, y, self.band.top)
            if not self.early:
                hidden = functional.linear(hidden, self.first)
        else:
            hidden = x.new_zeros(len(x), len(self.first))
        grid = hidden.view(rows.stop - rows.start, self.width, -1)
        grid.add_(self.row_term[rows, None]).add_(self.column_term).relu_()
        hidden = functional.linear(hidden, self.second, self.second_bias).relu_()
        heads = functional.linear(hidden, self.heads, self.heads_bias)
        return heads[:, :2], heads[:, 2:].sigmoid()


def _bias(layer: nn.Conv2d) -> torch.Tensor:
    return cast(torch.Tensor, layer.bias)

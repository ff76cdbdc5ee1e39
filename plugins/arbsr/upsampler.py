"""ArbRCAN's scale-aware upsampler (ArbSR, ICCV 2021).

What it does to a pixel depends on the scale and on the pixel's place between source pixels alone, and such places
repeat: at ×2.75 there are 11 of them along an axis. So the prediction runs once for each, not once for each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from rescale_bench.networks.lines import slab_rows
from rescale_bench.networks.sampling import sample_map, sample_rows, source_positions
from rescale_bench.networks.scale_aware import ExpertResampling, mix_pixels

from .layout import ArbRcanLayout
from .trunk import Steps


class ScaleAwareUpsampler(ExpertResampling):
    """Resample features to any size; the prediction sees 1/s and the place in the source pixel, no features."""

    def __init__(self, layout: ArbRcanLayout) -> None:
        """Take the sizes."""
        super().__init__(4, layout.width, layout.experts, layout.reduced)

    def forward(self, features: torch.Tensor, steps: Steps, size: tuple[int, int]) -> torch.Tensor:
        """Resample (N, width, h, w) to (N, width, *size); for autograd."""
        (y, rel_v), (x, rel_h) = (source_positions(n, step, features) for n, step in zip(size, steps, strict=True))
        offset, shares = self._predict_places(rel_v, rel_h, steps)
        count = len(features)
        x, y = (plane.expand(count, *size) for plane in (x + offset[:, 0], y[:, None] + offset[:, 1]))
        return self.mix(sample_map(features, x, y), shares.expand(count, -1, -1, -1))

    def rows(self, features: torch.Tensor, steps: Steps, size: tuple[int, int]) -> Iterator[torch.Tensor]:
        """Yield the resampled map (1, width, *size) strip by strip, channels last; features are channels last too."""
        source, width = (features.shape[2], features.shape[3]), features.shape[1]
        (y, rel_v), (x, rel_h) = (source_positions(n, step, features) for n, step in zip(size, steps, strict=True))
        table, compress, expand = features[0].permute(1, 2, 0).flatten(0, 1), self.compress(), self.expand()
        count = slab_rows(size[1], width, features.device)
        for start in range(0, size[0], count):
            rows = slice(start, min(start + count, size[0]))
            offset, shares = self._predict_strip(rel_v[rows], rel_h, steps)
            across, down = (x + offset[0]).flatten(), (y[rows, None] + offset[1]).flatten()
            sampled = sample_rows(table, source, across, down)
            mixed = mix_pixels(sampled, shares.flatten(1).T, compress, expand)
            yield mixed.view(1, -1, size[1], width).permute(0, 3, 1, 2)

    def _predict_places(
        self, rel_v: torch.Tensor, rel_h: torch.Tensor, steps: Steps
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict for places (V,) × (H,) offsets (1, 2, V, H) and shares (1, experts, V, H)."""
        size = (len(rel_v), len(rel_h))
        constant = [rel_v.new_full(size, step) for step in reversed(steps)]  # horizontal first
        given = torch.stack([*constant, rel_v[:, None].expand(size), rel_h.expand(size)])
        return self.predict(given[None])

    def _predict_strip(
        self, rel_v: torch.Tensor, rel_h: torch.Tensor, steps: Steps
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Do the same for the places that differ, and repeat: offsets (2, V, H), shares (experts, V, H)."""
        lines, line = torch.unique(rel_v, return_inverse=True)
        columns, column = torch.unique(rel_h, return_inverse=True)
        offset, shares = (found[0][:, line][:, :, column] for found in self._predict_places(lines, columns, steps))
        return offset, shares

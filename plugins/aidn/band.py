"""The rows of a source map that the resampling of a strip needs, taken from a stream as they are called for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

BACK = 32
"""Source rows kept above the one that an output row lies on; learned offsets rarely lead further."""


class RowsGoneError(Exception):
    """An offset led to source rows above those that are kept; the caller starts again and keeps all."""


class Band:
    """A window of rows that moves down over a streamed map (1, C, h, w), as tables of pixels (rows·w, C).

    top, bottom: the rows held. table: their features. guide: what `guided` makes of those.
    """

    def __init__(
        self, features: Iterator[torch.Tensor], guided: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> None:
        """Take the stream; without `guided` the guide is the map itself."""
        self.features, self.guided = features, guided
        self.top = self.bottom = 0
        self.table = self.guide = torch.empty(0)

    def need(self, first: int, last: int) -> None:
        """Read on until row `last` is held. Raises RowsGoneError where row `first` was dropped."""
        if first < self.top:
            raise RowsGoneError
        while self.bottom <= last:
            self._read()

    def _read(self) -> None:
        slab = next(self.features)
        # A view: the slab is channels last.
        pixels = slab[0].permute(1, 2, 0).flatten(0, 1)
        self.table = _join(self.table, pixels)
        self.guide = self.table if self.guided is None else _join(self.guide, self.guided(pixels))
        self.bottom += slab.shape[2]

    def drop(self, before: int, width: int) -> None:
        """Let go of rows above `before`."""
        rows = min(before, self.bottom) - self.top
        if rows > 0:
            self.table, self.guide = self.table[rows * width :], self.guide[rows * width :]
            self.top += rows


def _join(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    return torch.cat((above, below)) if len(above) else below

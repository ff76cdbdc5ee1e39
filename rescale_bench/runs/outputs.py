"""The pictures that a run stored (`run --keep`): of each cell its HR image, its LR image and the restored one."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rescale_bench.api.records import Sample
from rescale_bench.images.files import write_png

PARTS = ("hr", "lr", "sr")
KEY = re.compile(r"[0-9a-f]{8,64}")
"""What the key of a cell looks like. A table made by somebody else must not lead to other files."""


@dataclass(frozen=True)
class Outputs:
    """A folder of stored pictures; None where there is none."""

    folder: Path | None

    def find(self, cell: str, part: str) -> Path | None:
        """Give the file of one picture of a cell; None where there is none."""
        if self.folder is None or not KEY.fullmatch(cell):
            return None
        path = self.folder / f"{cell}-{part}.png"
        return path if path.is_file() else None

    def files(self, cell: str, parts: Sequence[str] = PARTS) -> dict[str, Path]:
        """Give the files of a cell by part; nothing where one of them is missing."""
        found = {part: path for part in parts if (path := self.find(cell, part)) is not None}
        return found if len(found) == len(parts) else {}

    def cells(self) -> frozenset[str]:
        """List the cells of which every picture is there: to ask about many, one look at the folder is enough."""
        try:
            names = frozenset(os.listdir(self.folder)) if self.folder else frozenset()
        except OSError:
            return frozenset()
        last = f"-{PARTS[-1]}.png"
        cells = (name.removesuffix(last) for name in names if name.endswith(last))
        return frozenset(
            cell for cell in cells if KEY.fullmatch(cell) and all(f"{cell}-{part}.png" in names for part in PARTS)
        )

    def keep(self, cell: str, sample: Sample) -> None:
        """Write the pictures of a cell in 8 bit; floats are rounded for viewing. Raises ImageError, OSError."""
        import torch

        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for part, image in zip(PARTS, (sample.hr, sample.lr, sample.sr), strict=True):
            pixels = image if image.dtype == torch.uint8 else (image + 0.5).clamp(0, 255).to(torch.uint8)
            write_png(self.folder / f"{cell}-{part}.png", pixels.permute(1, 2, 0).contiguous().numpy())

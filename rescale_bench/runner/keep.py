"""Stored outputs of a run, for people to look at and for metrics to be added later."""

from __future__ import annotations

from pathlib import Path

from rescale_bench.image import write_png
from rescale_bench.interfaces import Sample


def keep_outputs(folder: Path, cell: str, sample: Sample) -> None:
    """Write outputs/<cell>-hr.png, -lr.png and -sr.png (8 bit); floats are rounded for viewing."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("hr", sample.hr), ("lr", sample.lr), ("sr", sample.sr)):
        pixels = image if image.dtype == torch.uint8 else (image + 0.5).clamp(0, 255).to(torch.uint8)
        write_png(folder / f"{cell}-{name}.png", pixels.permute(1, 2, 0).contiguous().numpy())

"""Stored outputs of a run, for people to look at and for metrics to be added later."""

from __future__ import annotations

from pathlib import Path

from rescale_bench.api.records import Sample
from rescale_bench.images.files import write_png

NAMES = ("hr", "lr", "sr")


def kept(folder: Path, cell: str) -> bool:
    """Tell whether all images of a cell are there."""
    return all((folder / f"{cell}-{name}.png").is_file() for name in NAMES)


def keep_outputs(folder: Path, cell: str, sample: Sample) -> None:
    """Write outputs/<cell>-hr.png, -lr.png and -sr.png (8 bit); floats are rounded for viewing."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    for name, image in zip(NAMES, (sample.hr, sample.lr, sample.sr), strict=True):
        pixels = image if image.dtype == torch.uint8 else (image + 0.5).clamp(0, 255).to(torch.uint8)
        write_png(folder / f"{cell}-{name}.png", pixels.permute(1, 2, 0).contiguous().numpy())

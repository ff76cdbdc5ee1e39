"""Time our imresize against Pillow and torch: `python benchmarks/resize.py [threads]`.

The rivals run alternately on the same image; a ratio above 1 means that ours is faster. Pillow resizes 8-bit RGB
(H, W, 3) and always with one thread; torch and ours resize float32 (3, H, W), torch with antialiasing.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from paired import record
from PIL import Image

from rescale_bench.images.resize import imresize

SIZES = ((512, 512), (512, 768), (1080, 1920))
FACTORS = (1 / 2, 1 / 3, 1 / 4, 1 / 1.5, 1.5, 2, 3, 4)
ROUNDS = 7


def paired(ours: Callable[[], object], *rivals: Callable[[], object]) -> tuple[float, list[float]]:
    """Run all in turn; return our median milliseconds and the median ratio of each rival to us."""
    times: list[list[float]] = []
    for _ in range(ROUNDS + 1):
        row = []
        for function in (ours, *rivals):
            start = time.perf_counter()
            function()
            row.append(time.perf_counter() - start)
        times.append(row)
    times = times[1:]  # the first round fills caches
    ratios = [statistics.median(row[k] / row[0] for row in times) for k in range(1, len(rivals) + 1)]
    return statistics.median(row[0] for row in times) * 1e3, ratios


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"{torch.get_num_threads()} thread(s)")
    for height, width in SIZES:
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture, image = Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1).float().contiguous()
        for factor in FACTORS:
            size = math.ceil(height * factor), math.ceil(width * factor)
            _row(f"{width}×{height} ×{factor:.3g}", picture, image, size)


def _row(case: str, picture: Image.Image, image: torch.Tensor, size: tuple[int, int]) -> None:
    interpolate = torch.nn.functional.interpolate
    bicubic, (pillow, torchs) = paired(
        lambda: imresize(image, size=size),
        lambda: picture.resize(size[::-1], Image.Resampling.BICUBIC),
        lambda: interpolate(image[None], size, mode="bicubic", antialias=True),
    )
    lanczos, (pillow3,) = paired(
        lambda: imresize(image, size=size, kernel="lanczos3"),
        lambda: picture.resize(size[::-1], Image.Resampling.LANCZOS),
    )
    for rival, ours, ratio in (
        ("Pillow", bicubic, pillow),
        ("torch", bicubic, torchs),
        ("Pillow lanczos", lanczos, pillow3),
    ):
        record(f"resize {case}", ours, ours * ratio, ratio, "ms", 1.0, note=f"against {rival}")


if __name__ == "__main__":
    main()

"""Time our PSNR and SSIM against scikit-image: `python benchmarks/fidelity.py [threads]`.

One round scores a 1024×768 pair on Y and on RGB, PSNR and SSIM (four numbers, colour conversion included), by
theirs and by ours alternately; a ratio above 1 means that ours is faster. scikit-image runs on one thread.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from paired import record
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from rescale_bench.images.color import luma
from rescale_bench.metrics.similarity import psnr, ssim, ssim_planes

ROUNDS = 9
SSIM = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
Four = tuple[float, float, float, float]


def theirs(a: np.ndarray, b: np.ndarray) -> Four:
    """Score uint8 (H, W, 3) pairs with scikit-image."""
    ya, yb = rgb2ycbcr(a)[..., 0], rgb2ycbcr(b)[..., 0]
    return (
        peak_signal_noise_ratio(ya, yb, data_range=255),
        structural_similarity(ya, yb, **SSIM),
        peak_signal_noise_ratio(a, b, data_range=255),
        structural_similarity(a, b, channel_axis=2, **SSIM),
    )


def ours(a: torch.Tensor, b: torch.Tensor, dtype: torch.dtype = torch.float64) -> Four:
    """Score uint8 (3, H, W) pairs."""
    ya, yb = luma(a), luma(b)
    planes = [(ya, yb), *zip(a.unbind(), b.unbind(), strict=True)]
    y, *rgb = ssim_planes(planes, dtype=dtype)
    return psnr(ya, yb), y, psnr(a, b), sum(rgb) / 3


def clock(function: object, *arguments: object) -> float:
    start = time.perf_counter()
    function(*arguments)  # type: ignore[operator]  # any of the above
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    rng = np.random.default_rng(0)
    a = np.cumsum(rng.normal(size=(768, 1024, 3)), 0)
    a = ((a - a.min()) / np.ptp(a) * 255).astype(np.uint8)
    b = np.clip(a + rng.normal(size=a.shape) * 6, 0, 255).astype(np.uint8)
    ta, tb = (torch.from_numpy(x).permute(2, 0, 1).contiguous() for x in (a, b))
    ya, yb = rgb2ycbcr(a)[..., 0], rgb2ycbcr(b)[..., 0]
    tya, tyb = torch.from_numpy(ya), torch.from_numpy(yb)
    cases = {
        "all four, float64": ((theirs, a, b), (ours, ta, tb)),
        "all four, float32": ((theirs, a, b), (ours, ta, tb, torch.float32)),
        "SSIM of Y alone": ((lambda x, y: structural_similarity(x, y, **SSIM), ya, yb), (ssim, tya, tyb)),
    }
    difference = max(abs(x - y) for x, y in zip(theirs(a, b), ours(ta, tb), strict=True))
    print(f"{torch.get_num_threads()} thread(s); largest difference {difference:.1e}")
    for name, (rival, own) in cases.items():
        rounds = [(clock(*rival), clock(*own)) for _ in range(ROUNDS + 1)][1:]
        ratio = statistics.median(t / o for t, o in rounds)
        rival_ms, own_ms = (statistics.median(column) * 1e3 for column in zip(*rounds, strict=True))
        goal = 5.0 if name.startswith("all four, float64") else 1.0
        record(f"fidelity {name}", own_ms, rival_ms, ratio, "ms", goal, note="against scikit-image, 1024×768")


if __name__ == "__main__":
    main()

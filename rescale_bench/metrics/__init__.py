"""Metrics: numbers about one round trip. Importing this package loads no torch."""

from __future__ import annotations

from rescale_bench.metrics.bitrate import bitrate_metrics
from rescale_bench.metrics.files import prepare_metric_files

__all__ = ["DEFAULT_METRICS", "MODULES", "bitrate_metrics", "prepare_metric_files"]

MODULES: tuple[str, ...] = (
    "rescale_bench.metrics.fidelity",
    "rescale_bench.metrics.bitrate",
    "rescale_bench.metrics.piqe",
    "rescale_bench.metrics.niqe",
    "rescale_bench.metrics.lpips_alex",
    "rescale_bench.metrics.perceptual_index",
    "rescale_bench.metrics.distribution",
    "rescale_bench.metrics.cost",
)
"""The modules with hook implementations, for the plugin manager to register."""

DEFAULT_METRICS: tuple[str, ...] = (
    "psnr_y",
    "ssim_y",
    "psnr_rgb",
    "ssim_rgb",
    "psnr_lr",
    "ssim_lr",
    "piqe_lr",
    "bpp_png",
    "seconds_down",
    "seconds_up",
)
"""What a run measures when nobody says: everything that is quick and needs no extra package or file."""

"""Metrics: numbers about one round trip. Importing this package loads no torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Codec, Metric
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
"""The modules of metrics."""

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


@hookimpl
def rescale_bench_metrics(codecs: Sequence[Codec]) -> Iterable[Metric]:
    """Yield the metrics of this package, and the bitrates of every codec that a plugin yields."""
    return (*_ours(), *bitrate_metrics(codecs))


def _ours() -> Iterator[Metric]:
    for name in MODULES:
        yield from importlib.import_module(name).rescale_bench_metrics()

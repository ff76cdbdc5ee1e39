"""Register PSNR and SSIM of the restored HR and of the LR, on Y and on RGB (spec/metrics.md, "PSNR and SSIM")."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, Sample, Value
from rescale_bench.errors import UndefinedValueError
from rescale_bench.protocols.named import border

if TYPE_CHECKING:
    import torch

    from rescale_bench.metrics.similarity import Plane

VERSION = "rescale-bench/1"
OF_LR = "of the LR against the bicubic LR"
Measure = Callable[[Sample, Mapping[str, Value]], float]


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield the fidelity metrics."""
    return (
        _psnr_metric("psnr_y", psnr_y, 10, "PSNR on Y", "PSNR of HR' on the protocol's Y, inside its border"),
        _ssim_metric("ssim_y", ssim_y, 20, "SSIM on Y", "SSIM of HR' on the protocol's Y, inside its border"),
        _psnr_metric("psnr_rgb", psnr_rgb, 30, "PSNR on RGB", "PSNR of HR' over R, G and B jointly, inside the border"),
        _ssim_metric("ssim_rgb", ssim_rgb, 40, "SSIM on RGB", "SSIM of HR', mean of R, G and B, inside the border"),
        _psnr_metric(
            "psnr_lr", psnr_lr, 60, f"PSNR {OF_LR}", "PSNR of the LR against the bicubic LR, on the protocol's Y"
        ),
        _ssim_metric(
            "ssim_lr", ssim_lr, 70, f"SSIM {OF_LR}", "SSIM of the LR against the bicubic LR, on the protocol's Y"
        ),
    )


def _psnr_metric(name: str, measure: Measure, order: int, title: str, summary: str) -> Metric:
    return Metric(
        name=name, title=title, summary=f"{summary}; inf for equal images", direction="up", unit="dB", order=order,
        tolerance="0.01", default=name == "psnr_y", judges="lr" if name.endswith("_lr") else "hr", version=VERSION,
        measure=measure, on_device=True,
    )  # fmt: skip


def _ssim_metric(name: str, measure: Measure, order: int, title: str, summary: str) -> Metric:
    return Metric(
        name=name, title=title, summary=f"{summary} (Gaussian 11×11, σ 1.5)", direction="up", decimals=4, order=order,
        tolerance="0.0001", default=name == "ssim_y", judges="lr" if name.endswith("_lr") else "hr", version=VERSION,
        measure=measure, on_device=True,
    )  # fmt: skip


def psnr_y(sample: Sample, options: Mapping[str, Value]) -> float:
    """Compute the PSNR in dB of HR' on Y inside the protocol's border; inf for equal images."""
    del options
    return _psnr(_y_planes(sample, "hr"), sample)


def ssim_y(sample: Sample, options: Mapping[str, Value]) -> float:
    """Compute the SSIM of HR' on Y inside the protocol's border."""
    del options
    return _ssim([_y_planes(sample, "hr")], sample)


def psnr_rgb(sample: Sample, options: Mapping[str, Value]) -> float:
    """Compute the PSNR in dB of HR' over all three channels jointly; inf for equal images."""
    del options
    return _psnr(_rgb(sample), sample)


def ssim_rgb(sample: Sample, options: Mapping[str, Value]) -> float:
    """Compute the SSIM of HR', the mean of its three channels."""
    del options
    hr, sr = _rgb(sample)
    return _ssim(list(zip(hr.unbind(), sr.unbind(), strict=True)), sample)


def psnr_lr(sample: Sample, options: Mapping[str, Value]) -> float:
    """Compute the PSNR in dB of the LR's Y against the bicubic LR's; inf for equal images."""
    del options
    return _psnr(_y_planes(sample, "lr"), sample)


def ssim_lr(sample: Sample, options: Mapping[str, Value]) -> float:
    """Compute the SSIM of the LR's Y against the bicubic LR's."""
    del options
    return _ssim([_y_planes(sample, "lr")], sample)


def _psnr(pair: Plane, sample: Sample) -> float:
    from rescale_bench.metrics.similarity import psnr

    return psnr(*pair, peak=sample.protocol.data_range)


def _ssim(pairs: list[Plane], sample: Sample) -> float:
    from rescale_bench.metrics.similarity import ssim_planes

    values = ssim_planes(pairs, sample.protocol.data_range, sample.protocol.ssim_edges)
    return sum(values) / len(values)


def _rgb(sample: Sample) -> Plane:
    """Cut the border off HR and HR'. Raises UndefinedValueError under a protocol of the Y plane alone."""
    if sample.protocol.plane != "rgb":
        raise UndefinedValueError(f"protocol {sample.protocol.name} works on Y alone: there is no RGB to compare")
    return _cut(sample.hr, sample, "hr"), _cut(sample.sr, sample, "hr")


def _y_planes(sample: Sample, side: str) -> Plane:
    """Cut the borders and turn a pair of images into Y (H, W), once per sample: (reference, judged)."""
    pair: Plane = sample.once(f"fidelity.y.{side}", lambda: _make_y_planes(sample, side))
    return pair


def _make_y_planes(sample: Sample, side: str) -> Plane:
    if side == "hr":
        return _y(_cut(sample.hr, sample, side), sample), _y(_cut(sample.sr, sample, side), sample)
    if sample.protocol.plane == "rgb" and sample.lr.shape[0] != 3:
        raise UndefinedValueError("the method's LR is a grey image: it has no Y to compare with the bicubic LR's")
    return _y(_cut(sample.lr_reference, sample, side), sample), _y(_cut(sample.lr, sample, side), sample)


def _cut(image: torch.Tensor, sample: Sample, side: str) -> torch.Tensor:
    rule = sample.protocol.border if side == "hr" else sample.protocol.lr_border
    pixels = border(rule, sample.scale)
    height, width = image.shape[-2:]
    if 2 * pixels >= min(height, width):
        raise UndefinedValueError(f"a border of {pixels} px leaves nothing of {width}×{height} pixels")
    return image[:, pixels : height - pixels, pixels : width - pixels]


def _y(image: torch.Tensor, sample: Sample) -> torch.Tensor:
    """Take the only plane of a Y protocol as it is, else compute the protocol's Y in float64."""
    if sample.protocol.plane == "y":
        return image[0]
    from rescale_bench.images.color import luma

    return luma(image, sample.protocol.luma)

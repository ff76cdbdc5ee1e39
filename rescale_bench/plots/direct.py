"""The reference curve of rate-distortion: the full-size image itself as JPEG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Costs, Protocol, Sample, Value
from rescale_bench.errors import UndefinedValueError, UsageError

if TYPE_CHECKING:
    import torch

QUALITIES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)
PROBED = range(88, 99)
"""Where camera and web JPEGs are born: BSD100 at 95, Urban100 at 96 (spec/metrics.md, "Bitrate")."""
BIRTHS = 3
"""Images that are asked whether they were born as JPEG."""
SPIKE = 1.5
"""dB by which a quality must beat the next higher one to count as a spike."""
Measure = Callable[[Sample, Mapping[str, Value]], float]


@dataclass(frozen=True)
class DirectCurve:
    """JPEG of the HR over its qualities.

    points: (bits per HR pixel, quality of the decoded image), means over the images, rising in rate.
    born_as: the JPEG quality that the images were stored with before, None where no spike shows it.
    """

    points: tuple[tuple[float, float], ...]
    born_as: int | None = None


def direct_jpeg_curve(
    images: Iterable[tuple[Path, int]],
    protocol: Protocol,
    scale: Decimal,
    codec: Codec,
    measure: Measure,
    qualities: Sequence[int] = QUALITIES,
) -> DirectCurve:
    """Encode each HR image at each quality, decode it, and measure it as a restored HR of that scale.

    images: files, and the number to whose multiples their sides are cut first (1: none). codec: takes the option
    "quality" (jpeg). measure: of a metric that judges the HR. scale fixes crop and border, so that the numbers stand
    beside those of rescaling. A quality that gives some image back unchanged (infinite PSNR) has no point.
    Raises UsageError for a protocol that works on Y alone, ImageError for a file that cannot be read.
    """
    if protocol.plane != "rgb":
        raise UsageError(f"direct JPEG: the protocol {protocol.name} has no RGB image to encode")
    places: dict[int, list[tuple[float, float]]] = {quality: [] for quality in qualities}
    first: list[torch.Tensor] = []
    for path, crop in images:
        hr = _read(path, protocol, scale, crop)
        first += [hr] if len(first) < BIRTHS else []
        for quality, spots in places.items():
            sample = _jpeg(hr, quality, codec, protocol, scale)
            rate = 8 * len(sample.file or b"") / (hr.shape[-2] * hr.shape[-1])
            spots.append((rate, measure(sample, {})))
    if not first:
        raise UsageError("direct JPEG: there is no image to encode")
    points = [(fmean(rate for rate, _ in spots), fmean(one for _, one in spots)) for spots in places.values()]
    finite = sorted(point for point in points if math.isfinite(point[1]))
    if not finite:
        raise UndefinedValueError("JPEG gives the images back unchanged at every quality")
    return DirectCurve(tuple(finite), born_as_jpeg(first, codec))


def born_as_jpeg(images: Sequence[torch.Tensor], codec: Codec) -> int | None:
    """Find the JPEG quality that images were stored with before: there recompression is nearly free.

    images: uint8 (3, H, W), cut at the right and bottom only. Returns the quality with the highest spike of the mean
    PSNR over that of the next quality, None where no spike reaches 1.5 dB.
    """
    from rescale_bench.metrics.similarity import psnr

    def mean(quality: int) -> float:
        return fmean(min(99.0, psnr(image, _decoded(image, quality, codec)[1])) for image in images)

    curve = {quality: mean(quality) for quality in (*PROBED, PROBED[-1] + 1)}
    spikes = {quality: curve[quality] - curve[quality + 1] for quality in PROBED}
    best = max(spikes, key=lambda quality: (spikes[quality], quality))
    return best if spikes[best] > SPIKE else None


def _read(path: Path, protocol: Protocol, scale: Decimal, crop: int) -> torch.Tensor:
    from rescale_bench.images.files import read_image
    from rescale_bench.roundtrip.cell import prepare_hr

    loaded = read_image(path)
    return prepare_hr(loaded.pixels, loaded.grey, protocol, scale, crop)


def _decoded(image: torch.Tensor, quality: int, codec: Codec) -> tuple[bytes, torch.Tensor]:
    import torch

    from rescale_bench.codecs import encode_decode

    file, pixels = encode_decode(codec, image.permute(1, 2, 0).contiguous().numpy(), {"quality": quality})
    return file, torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


def _jpeg(hr: torch.Tensor, quality: int, codec: Codec, protocol: Protocol, scale: Decimal) -> Sample:
    file, decoded = _decoded(hr, quality, codec)
    return Sample(
        hr=hr, sr=decoded, lr=hr, lr_reference=hr, lr_sent=hr, file=file, scale=scale, protocol=protocol,
        costs=Costs(0.0, 0.0),
    )  # fmt: skip

"""Bits per pixel of the LR, from real encoded bytes that were decoded back.

`bpp_CODEC` counts bits per HR pixel, `bpp_lr_CODEC` per LR pixel; both encode the 8-bit LR as it was before
the loop's codec. `bpp` and `bpp_lr` count the file in the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Literal

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Codec, Metric, Option, Sample, Value
from rescale_bench.api.specs import canonical
from rescale_bench.codecs import encode_decode
from rescale_bench.errors import UndefinedValueError

Pixels = Literal["hr-pixels", "lr-pixels"]
Count = Callable[[Sample, Mapping[str, Value]], int]
"""(sample, options) → bytes of the file."""

NO_FILE = "the protocol sends a float LR, so there is no file to count"


def bitrate_metrics(codecs: Iterable[Codec]) -> list[Metric]:
    """Make `bpp_NAME` and `bpp_lr_NAME` for each codec; they take the codec's options (`bpp_jpeg:90`)."""
    return [metric for codec in codecs for metric in _of_codec(codec)]


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield the bitrates of the file in the loop; those of single codecs come from bitrate_metrics."""
    return (
        _metric("bpp", "bits per HR pixel of the file in the loop", _loop_bytes, "hr-pixels", order=100),
        _metric("bpp_lr", "bits per LR pixel of the file in the loop", _loop_bytes, "lr-pixels", order=110),
    )


def _of_codec(codec: Codec) -> tuple[Metric, Metric]:
    count = partial(_codec_bytes, codec)
    about = f"of the LR as {codec.name}"
    version, options, requires = f"rescale-bench-{codec.version}/1", codec.options, codec.requires
    return (
        _metric(f"bpp_{codec.name}", f"bits per HR pixel {about}", count, "hr-pixels", version, options, requires),
        _metric(f"bpp_lr_{codec.name}", f"bits per LR pixel {about}", count, "lr-pixels", version, options, requires),
    )


def _metric(
    name: str,
    summary: str,
    count: Count,
    pixels: Pixels,
    version: str = "rescale-bench/1",
    options: tuple[Option, ...] = (),
    requires: Callable[[], list[str]] = list,
    order: int = 500,
) -> Metric:
    return Metric(
        name=name,
        summary=summary,
        direction="down",
        judges="file",
        version=version,
        measure=partial(_bits_per_pixel, count, pixels),
        unit="bit/px",
        order=order,
        group="bitrate",
        default=name == "bpp",
        options=options,
        requires=requires,
        pool=pixels,
    )


def _bits_per_pixel(count: Count, pixels: Pixels, sample: Sample, options: Mapping[str, Value]) -> float:
    size = count(sample, options)
    image = sample.hr if pixels == "hr-pixels" else sample.lr
    return 8 * size / (image.shape[-2] * image.shape[-1])


def _loop_bytes(sample: Sample, options: Mapping[str, Value]) -> int:
    del options
    if sample.file is None:
        raise UndefinedValueError(NO_FILE)
    return len(sample.file)


def _codec_bytes(codec: Codec, sample: Sample, options: Mapping[str, Value]) -> int:
    """Encode what the method sent, check the file by decoding it, and return its length.

    Raises CodecError when the check fails.
    """
    sent = sample.lr_sent
    if sent is None:
        raise UndefinedValueError(NO_FILE)
    pixels = sent.permute(1, 2, 0).contiguous().cpu().numpy()
    key = f"bytes:{codec.name}:{canonical(options, codec.options)}"
    size: int = sample.once(key, lambda: len(encode_decode(codec, pixels, options)[0]))
    return size

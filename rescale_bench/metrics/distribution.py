"""FID and KID: how far the restored images of a data set are from its HR images, as two sets of features.

They are values of a whole data set, not of an image: `rescale-bench distribution` measures them on the outputs that
`run --keep` stored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, Sample, Value
from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics import pyiqa_models
from rescale_bench.metrics.files import missing_files

if TYPE_CHECKING:
    from rescale_bench.metrics.frechet import Features


def distances() -> Mapping[str, Callable[[Features, Features], float]]:
    """Give each name's (HR features, features of the restored images), both (n, 2048) in one order → the distance."""
    from rescale_bench.metrics.frechet import frechet_distance, kernel_distance

    return {"fid": frechet_distance, "kid": kernel_distance}


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield FID and KID."""
    return (
        _metric("fid", "Fréchet Inception distance to the HR images (clean resize); biased by the number of images", 2),
        _metric("kid", "kernel Inception distance to the HR images, unbiased; noisy on few images", 5),
    )


def _metric(name: str, summary: str, decimals: int) -> Metric:
    return Metric(
        name=name,
        summary=f"{summary}; `distribution` on a kept run",
        direction="down",
        judges="set",
        version=pyiqa_models.VERSION,
        measure=functools.partial(_no_image_has_one, name),
        decimals=decimals,
        requires=functools.partial(_problems, name),
    )


def _problems(metric: str) -> list[str]:
    return pyiqa_models.problems(metric) + missing_files(metric)


def _no_image_has_one(metric: str, sample: Sample, options: Mapping[str, Value]) -> float:
    del sample, options
    raise UndefinedValueError(f"{metric} is a value of a data set, not of an image: rescale-bench distribution")


def few_images(metric: str, images: int) -> str:
    """Warn of what a value over so few images is worth; one sentence or two for a footnote."""
    from rescale_bench.metrics.inception import DIMENSIONS

    if metric == "kid":
        return (
            f"kid over {images} images (pairs of different images) is unbiased but noisy, and may be negative: small "
            "differences mean nothing."
        )
    if images > DIMENSIONS:
        return f"fid over {images} images depends on their number: compare it at this number alone."
    return (
        f"fid over {images} images is biased: fewer images than Inception's {DIMENSIONS} features leave the "
        "covariances singular, and the value rises as images get fewer. Compare it only between methods on these same "
        "images, never with another data set or a published FID."
    )

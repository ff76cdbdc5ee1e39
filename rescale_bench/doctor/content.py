"""What a run could use here: weights, file formats, metrics, data sets."""

from __future__ import annotations

from collections.abc import Iterator

from rescale_bench.api.metrics import AnyMetric
from rescale_bench.api.records import Codec, Method, all_parts
from rescale_bench.api.registry import Registry
from rescale_bench.codecs import encode_decode
from rescale_bench.datasets.research import DATA_VARIABLE, data_folders
from rescale_bench.doctor import OK, PROBLEM, WARNING, Check
from rescale_bench.errors import RescaleBenchError, UnavailableError
from rescale_bench.metrics.needed import prepare_files
from rescale_bench.weights import stored as weights_files


def weights(registry: Registry) -> Iterator[Check]:
    """List the weights of each method that needs some, and find damaged files."""
    for method in registry.methods.values():
        if not all_parts(method):
            continue
        entries = weights_files.available(method.name, method.shipped)
        for entry in entries:
            if entry.problem:
                yield Check(f"weights {method.name}", PROBLEM, entry.problem, f"delete {entry.path}")
        yield _weights(method, [f"{entry.tag}/{entry.part}" for entry in entries if not entry.problem])


def _weights(method: Method, here: list[str]) -> Check:
    name = f"weights {method.name}"
    if here:
        return Check(name, OK, ", ".join(dict.fromkeys(here)))
    published = any(file.tag == "published" for file in method.weights)
    remedy = f"rescale-bench prepare --weights {method.name}" if published else ""
    if method.training:
        remedy += f"{' or ' if remedy else ''}rescale-bench train {method.name}"
    return Check(name, WARNING, "none here", remedy or f"{method.name}:weights=random is a dry test")


def codecs(registry: Registry) -> Iterator[Check]:
    """Send a small picture through each file format."""
    good = []
    for codec in registry.codecs.values():
        if trouble := codec.requires() or _codec(codec):
            status = PROBLEM if codec.name == "png" else WARNING
            yield Check(f"codec {codec.name}", status, *_split(f"codec {codec.name}", trouble))
        else:
            good.append(codec.name)
    yield Check("codecs", OK if good else PROBLEM, f"usable: {', '.join(good) or 'none'}")


def _codec(codec: Codec) -> list[str]:
    import numpy as np

    pixels = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(24, 16, 3)
    try:
        encode_decode(codec, pixels, {})
    except RescaleBenchError as error:
        return [f"{error}; pip install --force-reinstall imagecodecs pillow"]
    return []


def metrics(registry: Registry) -> Iterator[Check]:
    """Ask each metric for what it lacks, and compare the files that are here with their checksums. Fetches nothing."""
    good = []
    for metric in registry.metrics.values():
        trouble = metric.problems() or _damaged(metric)
        if trouble:
            status = PROBLEM if metric.name in registry.default_metrics else WARNING
            yield Check(f"metric {metric.name}", status, *_split(f"metric {metric.name}", trouble))
        else:
            good.append(metric.name)
    yield Check("metrics", OK, f"{len(good)} of {len(registry.metrics)} usable")


def _split(name: str, trouble: list[str]) -> tuple[str, str]:
    """Part "NAME: what is missing; what to do" lines into both. name: "metric psnr_y"."""
    lines = [line.removeprefix(name).lstrip(": ").partition("; ") for line in trouble]
    return "; ".join(line[0] for line in lines), "; ".join(dict.fromkeys(line[2] for line in lines if line[2]))


def _damaged(metric: AnyMetric) -> list[str]:
    try:
        prepare_files(metric.files, lambda line: None)
    except UnavailableError as error:
        return [str(error)]
    return []


def data(registry: Registry) -> Iterator[Check]:
    """Find the folders of the variable, and the data sets in them."""
    for folder in data_folders()[:-1]:  # the last one is the cache, made when needed
        if not folder.is_dir():
            yield Check("data", WARNING, f"{DATA_VARIABLE} names {folder}, which is no folder", "correct the variable")
    here = []
    for dataset in registry.datasets.values():
        try:
            here.append(f"{dataset.name} ({len(dataset.images())})")
        except RescaleBenchError as error:
            status = PROBLEM if dataset.name == "photos" else WARNING
            remedy = f"rescale-bench prepare --datasets {dataset.name}, or set {DATA_VARIABLE}"
            yield Check(f"data {dataset.name}", status, _why(str(error)), remedy)
    yield Check("data", OK, f"here: {', '.join(here) or 'none'}")


def _why(text: str) -> str:
    """Keep what is wrong, without the advice that the remedy repeats."""
    return "not on this machine" if "is not on this machine" in text else text.partition(";")[0]

"""Plan the scoring of images that were made elsewhere: files in place of the halves of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from rescale_bench.api.records import ImageFile, Method, Metric, Rescaler, States, Value
from rescale_bench.api.registry import NAME, Chosen, Registry
from rescale_bench.api.scales import NativeScales, parse_scales
from rescale_bench.datasets import find_dataset
from rescale_bench.errors import MethodError, UnknownNameError, UsageError
from rescale_bench.runner.cells import Given, Part, Picture, Plan
from rescale_bench.runner.hashing import looked_at
from rescale_bench.runner.pairing import FIELD, Pairs, find_pairs
from rescale_bench.runner.plan import choose_codecs, choose_metrics
from rescale_bench.runner.request import Request
from rescale_bench.weights.choice import ChosenWeights

LOSSY = {".jpg": "jpeg:90", ".jpeg": "jpeg:90", ".webp": "webp:80"}
"""Suffixes of LR files whose settings nobody can read from them, and how a user would name the settings."""


@dataclass(frozen=True)
class Files:
    """Where the images are: sr and lr are folders or templates with {name}; lr may be "".

    dataset: what rows call the data set ("": as the HR images' own). crop: HR sides are cut to multiples of it first.
    """

    sr: str
    lr: str = ""
    dataset: str = ""
    crop: int = 1


def plan_given(request: Request, files: Files, registry: Registry) -> Plan:
    """Turn a request into a plan: its methods are the name of the rows, its datasets the HR images, its scales one.

    Raises UsageError, and UnavailableError for missing HR images.
    """
    protocol = registry.choose_protocol(request.protocol)
    scales = parse_scales(request.scales)
    if len(scales) != 1:
        raise UsageError(f"'{request.scales}' is not one scale; images are of one", "scales")
    method = _named(request.methods, registry)
    notes: list[str] = []
    metrics, set_metrics = choose_metrics(_with_metrics(request, files, registry), registry, notes)
    codecs = choose_codecs(request, registry, protocol) or (registry.own_codec(method.record),)
    if len(codecs) > 1:
        raise UsageError(f"'{request.codecs}' is not one codec; the LR files are of one", "codecs")
    if request.damage:
        raise UsageError("images made elsewhere have come back already; there is no LR to damage", "damage")
    pictures = _pictures(request, files, scales[0], registry, notes)
    if protocol.sr_rounding == "none":
        notes.append(f"protocol {protocol.name} keeps restored images in float; these were rounded to 8 bit")
    part = Part(method, ChosenWeights(), scales, codecs, 1, False)
    return Plan(request, protocol, metrics, set_metrics, tuple(pictures), (part,), tuple(notes))


def _with_metrics(request: Request, files: Files, registry: Registry) -> Request:
    """Name what a run measures by default, without what files cannot say: costs, and the LR where none is given."""
    unsaid = ("cost",) if files.lr else ("cost", "lr", "file")
    named = [(name, registry.metrics[name]) for name in registry.default_metrics]
    names = [name for name, metric in named if isinstance(metric, Metric) and metric.judges not in unsaid]
    return request if request.metrics else replace(request, metrics=",".join(names))


def pair_lines(plan: Plan) -> list[tuple[str, str, str]]:
    """List who belongs to whom: the name of each HR image, its restored image and its LR; "" where there is none."""
    return [(picture.name, picture.given.sr, picture.given.lr) for picture in plan.pictures if picture.given]


def _named(name: str, registry: Registry) -> Chosen:
    """Make the method that stands in the rows. Raises UsageError for a name that is taken or none."""
    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' is not a name (letters, digits, '_', '.', '@', '-')", "name")
    try:
        registry.method(name)
    except UnknownNameError:
        record = Method(
            name=name, summary="images made elsewhere", citation="", scales=NativeScales(low=Decimal(1)), build=_refuse
        )
        return Chosen(record, {}, name)
    raise UsageError(f"'{name}' is a method of rescale-bench; give these images another name", "name")


def _refuse(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    """Refuse to build what is files alone."""
    raise MethodError("its images were made elsewhere; there is nothing to run")


def _pictures(request: Request, files: Files, scale: Decimal, registry: Registry, notes: list[str]) -> list[Picture]:
    text = request.datasets if files.crop == 1 else f"{request.datasets}@mod{files.crop}"
    dataset, crop = find_dataset(text, registry.datasets)
    name = dataset.name
    if files.dataset:
        name = files.dataset if crop == 1 else f"{files.dataset}@mod{crop}"
    images = dataset.images()[: request.limit or None]
    words = (str(scale), request.methods)
    restored = find_pairs(images, files.sr, words, "sr")
    small = find_pairs(images, files.lr, words, "lr") if files.lr else Pairs({})
    _check(images, restored, files.sr, "sr", notes)
    if files.lr:
        _check(images, small, files.lr, "lr", notes)
        _check_codec(small, request.codecs)
    return [
        Picture(
            name, image.name, str(image.path), crop, *looked_at(image.path),
            given=Given(*_content(restored, image), *_content(small, image)),
        )
        for image in images
    ]  # fmt: skip


def _content(pairs: Pairs, image: ImageFile) -> tuple[str, str]:
    path = pairs.files.get(image.name)
    return ("", "") if path is None else (str(path), looked_at(path)[0])


def _check(images: Sequence[ImageFile], pairs: Pairs, place: str, about: str, notes: list[str]) -> None:
    """Name what has no partner. Raises UsageError where nothing has one."""
    without = [image.name for image in images if image.name not in pairs.files]
    if len(without) == len(images):
        example = f"; there is {pairs.unused[0].name}, for example" if pairs.unused else ""
        hint = "" if FIELD in place else f"; a template ({place}/{FIELD}_SR.png) says how they are called"
        raise UsageError(f"{place} holds no partner of any HR image ({', '.join(without[:3])}){example}{hint}", about)
    if without:
        notes.append(f"{place} holds no partner of {', '.join(without)}")
    if pairs.unused:
        notes.append(f"{place}: no HR image for {', '.join(path.name for path in pairs.unused)}")


def _check_codec(pairs: Pairs, codecs: str) -> None:
    """Ask for the settings of lossy LR files: rows are compared by codec."""
    for path in pairs.files.values():
        if not codecs and (example := LOSSY.get(path.suffix.lower())):
            raise UsageError(f"{path.name} does not say how it was encoded; name the codec ({example})", "codecs")

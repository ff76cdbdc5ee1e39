"""Single pictures: shrink one into a file, and restore it from that file, as the cells of a run do it.

A run keeps LR and SR of both halves together; here the halves may run days apart. What the second one needs to know
stands in the LR file, or in a JSON file beside it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.scales import parse_scale
from rescale_bench.api.specs import Spec, label, parse_spec
from rescale_bench.codecs import decode
from rescale_bench.errors import CodecError, ImageError, UsageError, WeightsError
from rescale_bench.images import levels
from rescale_bench.images.comments import comment_of, with_comment
from rescale_bench.images.files import LIMIT_VARIABLE, max_pixels_setting, read_image
from rescale_bench.machine.device import usable_device
from rescale_bench.machine.writing import reason, write_atomically
from rescale_bench.roundtrip.cell import downscale_file, prepare_hr, upscale_file
from rescale_bench.runner.builds import Build, Recent
from rescale_bench.runner.cells import Picture, Plan
from rescale_bench.runner.job import Job, Setup
from rescale_bench.runner.plan import method_parts
from rescale_bench.runner.request import Request
from rescale_bench.runner.worker import settle_process

if TYPE_CHECKING:
    import numpy as np

PROTOCOL = "rgb8-whole"
"""Whole images, RGB, 8 bit on both ends: what people expect of a file."""


NAME = re.compile(r"[A-Za-z0-9_@+-]+")
"""Methods that notes may name: no path (programs are YAML files that are named by theirs)."""


@dataclass(frozen=True)
class Notes:
    """What a small file says about itself; most fields are those of a row."""

    method: str
    scale: str
    width: int
    """Of the HR image, in pixels."""
    height: int
    options: str = ""
    version: str = ""
    """Of the method."""
    weights: str = ""
    weights_sha256: str = ""
    codec: str = "png"
    seed: int = 0
    image_sha256: str = ""
    """Of the HR image's file: random draws of the upscaler start from it."""

    @classmethod
    def read(cls, text: str, where: str) -> Notes:
        """Read what write gave; entries of later versions are ignored. Raises ImageError that begins with where."""
        kinds = {field.name: int if field.type == "int" else str for field in dataclasses.fields(cls)}
        try:
            content: Any = json.loads(text)
            values = {name: content[name] for name in kinds if name in content}
            if any(type(value) is not kinds[name] for name, value in values.items()):
                raise TypeError
            return cls(**values)
        except (ValueError, TypeError, RecursionError):
            raise ImageError(f"{where}: what it says about how it was made cannot be read") from None

    def write(self) -> str:
        """Give the notes as one line of JSON, ASCII."""
        return json.dumps(dataclasses.asdict(self))


@dataclass(frozen=True)
class Overrides:
    """What a user says of a small file, which counts more than its notes; "" and None leave a thing to them.

    method: as in run. size: of the HR image, (height, width) in pixels.
    """

    method: str = ""
    scale: str = ""
    size: tuple[int, int] | None = None
    weights: str = ""
    codec: str = ""


def beside(path: Path) -> Path:
    """Name the file with the notes of a small file whose format has no place for them."""
    return path.with_name(f"{path.name}.json")


def write_small(path: Path, file: bytes, notes: Notes) -> None:
    """Write a small file and its notes, inside of it where the format allows that. Raises ImageError."""
    text = notes.write()
    noted = with_comment(file, text)
    try:
        if noted is None:
            write_atomically(beside(path), text + "\n", durable=False)
        write_atomically(path, noted or file, durable=False)
    except OSError as error:
        raise ImageError(f"{path}: cannot be written ({reason(error)})") from None


def read_small(path: Path) -> tuple[bytes, Notes | None]:
    """Read a small file and its notes, if any; those inside count before those beside it. Raises ImageError."""
    try:
        file = path.read_bytes()
        text = comment_of(file)
        if text is not None:
            return file, Notes.read(text, str(path))
        if beside(path).is_file():
            return file, Notes.read(beside(path).read_text(encoding="utf-8", errors="replace"), str(beside(path)))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({reason(error)})") from None
    return file, None


class Single:
    """Runs one half at a time; a method is built once for files that follow each other.

    remarks: what the user should know, each once.
    """

    def __init__(self, request: Request, registry: Registry) -> None:
        """Take device, threads, tiles, memory and seed from a request. Raises UnavailableError for an absent device."""
        # Where nothing can be tiled, auto needs no remark: it is what is done unless asked for.
        self.request, self.registry = replace(request, tile=request.fixed_tile or "off"), registry
        self.setup = Setup(
            plugins=registry.files,
            metrics={},
            device=usable_device(request.device),
            threads=request.threads_each,
            auto_tile=request.tile == "auto",
            memory_limit=request.memory_bytes,
        )
        settle_process(self.setup)
        self.builds: Recent[Build] = Recent(1, lambda build: 1)
        self.remarks: dict[str, None] = {}

    def shrink(self, path: Path, method: Chosen, scale: Decimal, codec: Chosen) -> tuple[bytes, Notes]:
        """Shrink an image file; returns the LR file's bytes and what is to be noted. Raises RescaleBenchError."""
        image = read_image(path)
        self.remarks.update(dict.fromkeys(f"{path}: {note}" for note in image.notes))
        job = self._job(path, method, scale, codec, image.sha256, self.request.seed)
        hr = prepare_hr(image.pixels, image.grey, job.protocol, scale)
        height, width = hr.shape[-2:]
        halves, _ = self._build(job).halves_for(job, (height, width))
        file = downscale_file(halves, hr, scale, job.protocol, job.loop, job.seed)
        cell = job.cell
        noted = {
            field.name: getattr(cell, field.name) for field in dataclasses.fields(Notes) if hasattr(cell, field.name)
        }
        return file, Notes(**noted, version=job.method.version, width=width, height=height)

    def restore(self, path: Path, asked: Overrides) -> np.ndarray:
        """Restore the image of a small file, uint8 (H, W, 3). Raises RescaleBenchError."""
        file, noted = read_small(path)
        text = asked.codec or (noted.codec if noted else codec_for(path, self.registry).label)
        codec = self.registry.choose_codec(parse_spec(text, "codecs"))
        low = _decoded_size(path, file, codec)
        if noted is None and not (asked.method and asked.scale):
            raise UsageError(
                f"{path} does not say how it was made, nor does {beside(path).name}; name method, scale and size",
                "methods",
            )
        notes = noted or Notes("", "", 0, 0)
        if not asked.method:
            self._refuse_files(path, notes)
        method = self.registry.choose_method(_spec(notes, asked), "methods")
        scale = parse_scale(asked.scale or notes.scale)
        job = self._job(path, method, scale, codec, notes.image_sha256, notes.seed)
        if not asked.method:
            self._compare(path, notes, job, asked)
        size = asked.size or (notes.height, notes.width)
        if not all(size):
            size = (int(low[0] * scale), int(low[1] * scale))
        if size[0] * size[1] > max_pixels_setting():
            raise ImageError(f"{path}: {size[1]}×{size[0]} pixels are too many (raise {LIMIT_VARIABLE})")
        halves, _ = self._build(job).halves_for(job, size)
        restored = levels.to_levels(
            upscale_file(halves, job.loop, file, scale, size, job.seed), job.protocol.sr_rounding
        )  # fmt: skip
        return restored.permute(1, 2, 0).contiguous().numpy()

    def _refuse_files(self, path: Path, notes: Notes) -> None:
        """Refuse notes that name files as a method: a picture from elsewhere must run no program. Raises UsageError."""
        name = notes.method
        if not NAME.fullmatch(name) or any(option.is_path for option in self.registry.method(name).options):
            raise UsageError(
                f"{path} asks for '{name}', which stands for files of its maker; name the method", "methods"
            )

    def _job(self, path: Path, method: Chosen, scale: Decimal, codec: Chosen, image_sha256: str, seed: int) -> Job:
        """Make the job that a run would make of an image. Raises UsageError, UnavailableError."""
        request, left_out = replace(self.request, seed=seed), list[str]()
        parts = tuple(method_parts(method, (scale,), (codec,), request, self.registry, left_out))
        if not parts:
            raise UsageError("; ".join(left_out), "scales")
        picture = Picture("", path.stem, str(path), 1, image_sha256, 0)
        (cell,) = Plan(request, self.registry.choose_protocol(PROTOCOL), (), (), (picture,), parts)
        return Job(cell, self.registry)

    def _build(self, job: Job) -> Build:
        return self.builds.get(job.cell.build, lambda: Build(job, self.setup))

    def _compare(self, path: Path, notes: Notes, job: Job, asked: Overrides) -> None:
        """Refuse other weights than those that a file was made with, unless asked for. Raises WeightsError."""
        cell = job.cell
        version = job.method.version
        if notes.version != version:
            self.remarks[f"{path} was made with version {notes.version} of {notes.method}, not {version}"] = None
        if asked.weights or notes.weights_sha256 == cell.weights_sha256:
            return
        raise WeightsError(
            f"{path} was made with weights '{notes.weights}' (sha256 {notes.weights_sha256[:12]}…) of {notes.method}; "
            f"'{cell.weights}' here are others ({cell.weights_sha256[:12]}…); name the tag or the file to use",
            "weights",
        )


def codec_for(path: Path, registry: Registry) -> Chosen:
    """Find the codec that writes files of such a name. Raises UsageError."""
    suffix = {".jpeg": ".jpg"}.get(path.suffix.lower(), path.suffix.lower())
    for name, codec in registry.codecs.items():
        if codec.extension == suffix:
            return registry.choose_codec(Spec(name))
    known = ", ".join(dict.fromkeys(codec.extension for codec in registry.codecs.values()))
    raise UsageError(f"{path}: no codec has such files; name one, or a file of {known}", "codecs")


def _decoded_size(path: Path, file: bytes, codec: Chosen) -> tuple[int, int]:
    """Give (height, width) of a small file. Raises ImageError for what is no whole file of its format."""
    try:
        height, width = decode(codec.record, file, 3).shape[:2]
    except CodecError:
        raise ImageError(f"{path}: not a whole {codec.record.name} file") from None
    return height, width


def _spec(notes: Notes, asked: Overrides) -> Spec:
    """Say which method restores a file, and with which weights."""
    text = asked.method or label(notes.method, notes.options)
    spec = parse_spec(text, "methods")
    # Tags of pairs ("published+small") and of files given by path ("file:mine") cannot be looked up: the first weights
    # there are may be the same ones.
    noted = "" if asked.method or "+" in notes.weights or notes.weights.startswith("file:") else notes.weights
    weights = asked.weights or noted
    return replace(spec, given=(*spec.given, ("weights", weights))) if weights else spec

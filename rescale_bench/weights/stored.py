"""Weights files: where they live, which one a method gets, and how they are read and written (safetensors)."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import UnavailableError, UsageError, WeightsError
from rescale_bench.machine.writing import reason, write_atomically

if TYPE_CHECKING:
    import torch

SUFFIX = ".safetensors"
PICKLED = (".pth", ".pt", ".tar", ".ckpt", ".mat")
"""Endings of published checkpoints, which are imported first and never loaded by a run."""

HEADER_LIMIT = 100_000_000
"""Bytes; the limit of the safetensors format itself."""

STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}
"""Entries of a state that batch norm measures rather than learns; papers do not count them as parameters."""

TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class Found:
    """One weights file that a method will be built with.

    tag: `published`, `base`, a user's own, or "file:NAME" where the user gave a path.
    sha256: hexadecimal, of the whole file. metadata: of its header.
    """

    tag: str
    part: str
    path: Path
    sha256: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """One weights file as `info` shows it; problem says why it cannot be used (parameters is then 0)."""

    tag: str
    part: str
    path: Path
    metadata: Mapping[str, str] = field(default_factory=dict)
    parameters: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself: metadata, and the shape of each tensor."""

    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Count the numbers as papers do, constants included and batch-norm statistics left out."""
        return parameter_count(self.shapes)


def parameter_count(shapes: Mapping[str, Sequence[int]]) -> int:
    """Count the numbers of a layout (key → shape) without batch-norm statistics."""
    return sum(math.prod(shape) for key, shape in shapes.items() if key.rpartition(".")[2] not in STATISTICS)


# --- where files live ----------------------------------------------------------


def home() -> Path:
    """Return the user's folder: RESCALE_BENCH_HOME, or the platform's data folder."""
    import platformdirs

    given = os.environ.get("RESCALE_BENCH_HOME")
    return Path(given).expanduser() if given else Path(platformdirs.user_data_dir("rescale-bench", appauthor=False))


def place(method: str, tag: str, part: str) -> Path:
    """Say where a file of the user's own goes: `<home>/weights/<method>/<tag>/<part>.safetensors`.

    Raises UsageError for a tag that cannot name a folder, and for `random`, which is never a file.
    """
    if not TAG.fullmatch(tag) or is_path(tag) or tag == "random":
        raise UsageError(f"weights tag '{tag}': use letters, digits and . _ + -; not random, not a file's name")
    return home() / "weights" / method / tag / f"{part}{SUFFIX}"


def find(
    method: str,
    parts: Sequence[str],
    tags: Sequence[str],
    shipped: Path | None,
    wanted: str = "",
    files: Mapping[str, str] | None = None,
) -> list[Found]:
    """Find the weights files of a method, one for each part, all from one folder.

    tags: the lookup order; the first with all parts counts, under each the user's folder before the shipped one.
    wanted: "" for that order, else the only tag looked for, or the path of a .safetensors file (one part) or
    of a folder of `<part>.safetensors`. files: published file names by part, for the error alone.
    The tag `random` is not a file and is the caller's business. Raises UnavailableError with what was looked
    for, where, and the commands that help; UsageError for a path that fits no lookup; WeightsError for a damaged file.
    """
    if not parts:
        return []
    if is_path(wanted):
        return _given(method, parts, Path(wanted).expanduser())
    order = list(dict.fromkeys([wanted] if wanted else tags))
    for tag in order:
        for root in _roots(method, shipped):
            paths = [root / tag / f"{part}{SUFFIX}" for part in parts]
            if all(path.is_file() for path in paths):
                return _all_found(tag, parts, paths)
    raise UnavailableError(_missing(method, parts, order, shipped, files or {}))


def available(method: str, shipped: Path | None) -> list[Listed]:
    """List every weights file of a method, the user's before the shipped ones, without importing torch."""
    return [_listed(path) for root in _roots(method, shipped) for path in sorted(root.glob(f"*/*{SUFFIX}"))]


def _listed(path: Path) -> Listed:
    tag, part = path.parent.name, path.name.removesuffix(SUFFIX)
    try:
        header = read_header(path)
    except WeightsError as error:
        return Listed(tag, part, path, problem=str(error))
    return Listed(tag, part, path, header.metadata, header.parameters)


def _roots(method: str, shipped: Path | None) -> Iterator[Path]:
    yield home() / "weights" / method
    if shipped is not None:
        yield shipped


def is_path(wanted: str) -> bool:
    """Tell whether what was asked for is a path, not a tag."""
    return "/" in wanted or os.sep in wanted or wanted[:1] in ("~", ".") or wanted.endswith((SUFFIX, *PICKLED))


def _given(method: str, parts: Sequence[str], path: Path) -> list[Found]:
    if path.is_dir():
        paths = [path / f"{part}{SUFFIX}" for part in parts]
        absent = [item.name for item in paths if not item.is_file()]
        if absent:
            raise UnavailableError(f"{method}:weights={path}: the folder lacks {', '.join(absent)}")
        return _all_found(f"file:{path.resolve().name}", parts, paths)
    if path.name.endswith(PICKLED):
        raise UsageError(
            f"{method}:weights={path} is a checkpoint of another program; bring it in once: "
            f"rescale-bench weights import {method} {parts[0]} {path}"
        )
    if not path.is_file():
        raise UnavailableError(f"{method}:weights={path}: there is no such file or folder")
    if len(parts) > 1:
        names = ", ".join(f"{part}{SUFFIX}" for part in parts)
        raise UsageError(f"{method}:weights={path}: {len(parts)} files are needed; give a folder with {names}")
    return _all_found(f"file:{path.name.removesuffix(SUFFIX)}", parts, [path])


def _all_found(tag: str, parts: Sequence[str], paths: Iterable[Path]) -> list[Found]:
    return [
        Found(tag, part, path, sha256(path), read_header(path).metadata)
        for part, path in zip(parts, paths, strict=True)
    ]


def _missing(
    method: str, parts: Sequence[str], tags: Sequence[str], shipped: Path | None, files: Mapping[str, str]
) -> str:
    wanted = " and ".join(f"{part}{SUFFIX}" for part in parts)
    places = " and ".join(str(root) for root in _roots(method, shipped))
    present = dict.fromkeys(f"{entry.tag}/{entry.part}" for entry in available(method, shipped))
    return (
        f"no weights for {method}: looked for {wanted} under the tag{'s' * (len(tags) != 1)} "
        f"{', '.join(tags) or '(none)'} in {places} (present: {', '.join(present) or 'nothing'}); "
        f"`rescale-bench prepare --weights {method}` says where to get them, "
        f"`rescale-bench weights import {method} {parts[0]} {files.get(parts[0], 'FILE.pth')}` brings one in, "
        f"`{method}:weights=random` is a dry test"
    )


# --- reading and writing -------------------------------------------------------


def sha256(path: Path) -> str:
    """Hash a whole file, hexadecimal. Raises WeightsError."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file (8 bytes of length, little-endian, then JSON) without torch.

    Raises WeightsError where the file cannot be read, is of another kind, or is cut short.
    """
    try:
        with path.open("rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            length = int.from_bytes(handle.read(8), "little")
            if size < 8 or length > min(HEADER_LIMIT, size - 8):
                raise ValueError("its header is longer than the file")
            content = json.loads(handle.read(length))
        return _parsed(content, size - 8 - length)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path} is damaged or no safetensors file ({error}); import or download it again") from None


def _parsed(content: dict[str, Any], body: int) -> Header:
    metadata = {str(key): str(value) for key, value in content.pop("__metadata__", {}).items()}
    shapes = {key: tuple(int(side) for side in entry["shape"]) for key, entry in content.items()}
    end = max((entry["data_offsets"][1] for entry in content.values()), default=0)
    if end != body:
        raise ValueError(f"{body} bytes of numbers where the header says {end}")
    return Header(metadata, shapes)


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a safetensors file onto the CPU: tensors by key, and the metadata. Raises WeightsError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(path)
    try:
        return load_file(path, device="cpu"), dict(header.metadata)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} is damaged ({error}); import or download it again") from None


def save(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically; equal content gives equal bytes.

    Raises WeightsError where the folder or disk does not let it; an older file then stays as it was.
    """
    import torch
    from safetensors.torch import save as serialise

    # Copies: safetensors refuses views and tensors that share memory.
    copies = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    data = serialise(copies, dict(metadata))
    length = 8 + int.from_bytes(data[:8], "little")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _canonical(data[8:length]) + data[length:])
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {reason(error)}") from None


def _canonical(header: bytes) -> bytes:
    # safetensors writes metadata in an order that changes from run to run, and the sha256 keys the cells.
    text = json.dumps(json.loads(header), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text

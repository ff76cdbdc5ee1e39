"""Published checkpoints (.pth and the like): read safely, check against a layout, convert to safetensors."""

from __future__ import annotations

import contextlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import WeightsError
from rescale_bench.weights import files as weights

if TYPE_CHECKING:
    import torch

Layout = Mapping[str, tuple[int, ...]]
"""The shape of every tensor of a network, by published key."""

Tensors = Mapping[str, "torch.Tensor"]

CONTAINERS = ("state_dict", "params", "params_ema", "model")
"""Keys under which trainers keep the state, the preferred ones first."""

PREFIX = "module."
"""What torch.nn.DataParallel puts before every key."""

PACKED = 4
"""How many times its size a checkpoint may unpack to, 16 MiB apart."""

SHOWN = 3
"""How many keys of each kind an error names."""


@dataclass(frozen=True)
class ImportReport:
    """What an import brought in.

    path: the safetensors file written; sha256 of it; source_sha256 of the checkpoint it came from.
    tensors: how many; parameters: without batch-norm statistics. ignored: keys left out by pattern.
    """

    path: Path
    sha256: str
    source_sha256: str
    tensors: int
    parameters: int
    ignored: tuple[str, ...] = ()


def import_checkpoint(
    source: Path,
    expected: Layout,
    ignored: Sequence[str],
    target: Path,
    origin: Mapping[str, str],
    others: Mapping[str, Callable[[], Layout]] | None = None,
) -> ImportReport:
    """Convert a published checkpoint to a safetensors file that find() will find.

    source: .pth, .pt, .pth.tar (zip or legacy torch format, read with weights_only=True alone) or .safetensors.
    expected: the network's layout; every key and shape must fit. ignored: fnmatch patterns of published keys
    that are no part of the network. target: the file to write. origin: metadata (method, part, tag, …); the
    source's name and sha256 are added. others: () → layouts of further parts, for the hint in the error.
    Floating tensors become float32, integers stay. Raises WeightsError: unreadable, unsafe, another layout,
    not finite, or not writable.
    """
    tensors = _named(source, _unwrap(source, read(source)))
    kept = _without(tensors, expected, ignored)
    left_out = tuple(key for key in tensors if key not in kept)
    found = differences(_shapes(kept), expected)
    if found:
        fits = [part for part, layout in (others or {}).items() if _fits(tensors, layout(), ignored)]
        hint = f"; this looks like part {' or '.join(fits)}" if fits else ""
        raise WeightsError(f"{source} does not fit the network: {found}{hint}")
    kept = {key: _plain(source, key, kept[key]) for key in expected}
    source_sha256 = weights.sha256(source)
    weights.save(target, kept, {**origin, "source": source.name, "source_sha256": source_sha256})
    return ImportReport(
        path=target,
        sha256=weights.sha256(target),
        source_sha256=source_sha256,
        tensors=len(kept),
        parameters=weights.parameter_count(_shapes(kept)),
        ignored=left_out,
    )


# --- reading ---------------------------------------------------------------------


def read(source: Path) -> object:
    """Read a checkpoint onto the CPU without running anything in it. Raises WeightsError."""
    if not source.is_file():
        raise WeightsError(f"{source}: there is no such file")
    if source.name.endswith(weights.SUFFIX):
        return weights.load(source)[0]
    try:
        with source.open("rb") as handle:
            start = handle.read(64).lstrip()
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read: {error.strerror}") from None
    if start.startswith(b"<"):
        raise WeightsError(f"{source} is a web page, not a checkpoint; open the link in a browser to download the file")
    _refuse_packed(source)
    return _unpickle(source)


def _refuse_packed(source: Path) -> None:
    """Refuse zip files that unpack to much more than they are: checkpoints are stored, not compressed."""
    if not zipfile.is_zipfile(source):
        return
    try:
        with zipfile.ZipFile(source) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise WeightsError(f"{source} is damaged or no checkpoint ({error}); download it again") from None
    if unpacked > PACKED * source.stat().st_size + 2**24:
        raise WeightsError(f"{source} was refused: it would unpack to {unpacked} bytes, which no checkpoint does")


def _unpickle(source: Path) -> object:
    import torch

    try:
        with warnings.catch_warnings(), _numbers_allowed():
            warnings.simplefilter("ignore")  # old pickle protocols and storages: nothing the user can change
            content: object = torch.load(source, map_location="cpu", weights_only=True)
            return content
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\w+(?:\.\w+)+)", str(error))
        if named is None:
            raise WeightsError(f"{source} is damaged or no checkpoint; download it again") from None
        raise WeightsError(
            f"{source} was refused: it asks to run {named[1]} while being read, and a pickle that runs code can do "
            "anything; only files of plain tensors are read (weights_only=True). Get the bare state dict from its "
            "source, or re-save it as one where you trust the file"
        ) from None
    except Exception as error:  # damaged files raise a dozen kinds
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise WeightsError(f"{source} is damaged or no checkpoint ({reason}); download it again") from None


def _numbers_allowed() -> contextlib.AbstractContextManager[object]:
    """Let NumPy scalars through the restricted unpickler: trainers keep their best score beside the state."""
    import numpy as np
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 7):
        return contextlib.nullcontext()  # names of moved functions cannot be given there
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    build: Any = np.float64(0).__reduce__()[0]
    names = [(build, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return torch.serialization.safe_globals([*names, np.dtype, *kinds])


def _unwrap(source: Path, content: object) -> Mapping[Any, Any]:
    """Take the state out of the dictionaries that trainers put around it."""
    for _ in range(8):  # a pickle may hold itself
        if not isinstance(content, Mapping):
            break
        inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            return content
        content = inner
    raise WeightsError(f"{source} holds a {type(content).__name__}, not a state dict")


def _named(source: Path, content: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    """Keep the tensors (not epoch, optimizer, …), without the prefix of DataParallel."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    for key, value in content.items():
        if not isinstance(value, torch.Tensor):
            continue
        name = str(key)
        while name.startswith(PREFIX):
            name = name.removeprefix(PREFIX)
        if name in tensors:
            raise WeightsError(f"{source} holds {name} twice, with and without '{PREFIX}'")
        tensors[name] = value
    if not tensors:
        raise WeightsError(f"{source} holds no tensors; its entries: {few(map(str, content)) or 'none'}")
    return tensors


# --- checking --------------------------------------------------------------------


def _without(tensors: Tensors, layout: Layout, ignored: Sequence[str]) -> dict[str, torch.Tensor]:
    """Leave out what matches an ignored pattern, unless the layout wants it."""
    return {
        key: tensor
        for key, tensor in tensors.items()
        if key in layout or not any(fnmatchcase(key, pattern) for pattern in ignored)
    }


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def _fits(tensors: Tensors, layout: Layout, ignored: Sequence[str]) -> bool:
    return not differences(_shapes(_without(tensors, layout, ignored)), layout)


def differences(shapes: Layout, expected: Layout) -> str:
    """Describe how a file's layout differs from the network's; empty where they are equal."""
    missing = [key for key in expected if key not in shapes]
    unexpected = [key for key in shapes if key not in expected]
    changed = [
        f"{key}: file {shapes[key]}, network {shape}"
        for key, shape in expected.items()
        if key in shapes and shapes[key] != tuple(shape)
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": changed}
    return "; ".join(f"{len(keys)} {kind} ({few(keys)})" for kind, keys in kinds.items() if keys)


def few(keys: Iterable[str]) -> str:
    """Write the first few of some keys, and how many more there are."""
    listed = list(keys)
    return ", ".join(listed[:SHOWN]) + (f", … {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")


def _plain(source: Path, key: str, tensor: torch.Tensor) -> torch.Tensor:
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex() or tensor.device.type != "cpu":
        raise WeightsError(f"{source}: {key} is not a plain tensor of real numbers")
    if not tensor.is_floating_point():
        return tensor.detach()
    tensor = tensor.detach().to(torch.float32)
    if not tensor.isfinite().all():
        raise WeightsError(f"{source}: {key} holds values that are not finite")
    return tensor

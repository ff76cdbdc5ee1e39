"""Published checkpoints (.pth and the like): read safely, check against a layout, convert to safetensors."""

from __future__ import annotations

import contextlib
import math
import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import WeightsError
from rescale_bench.weights import stored as weights

if TYPE_CHECKING:
    import torch

    from rescale_bench.api.methods import State

Layout = Mapping[str, tuple[int, ...]]
"""The shape of every tensor of a network, by published key."""

Tensors = Mapping[str, "torch.Tensor"]

Translate = Callable[[Tensors], "State"]
"""As Method.translate."""

CONTAINERS = ("state_dict", "params", "model")
"""Where two dictionaries of a file fit alike, those under these keys come first, in this order."""

WRAPPERS = ("module", "_orig_mod")
"""What DataParallel and torch.compile put between the names of a key."""

AVERAGE = re.compile(r"(?i)(?:^|[._-])ema(?:[._-]|$)")
"""A name that says exponential moving average: params_ema, EMA, generator_ema, state_dict_ema."""

RESIDUE = ("total_ops", "total_params", "step_counter", "num_batches_tracked")
"""Last names of keys that are no weights: thop's counters, mmengine's and batch norm's steps."""

DEPTH, PREFIXES = 8, 16
"""How deep dictionaries are looked for, and how many prefixes are tried in each."""

MATLAB = ".mat"
NUMBERS = ("double", "single")
"""Kinds of MATLAB arrays that are read."""

PACKED = 4
"""How many times its size a checkpoint may unpack to, 16 MiB apart."""

SHOWN = 3
"""How many keys of each kind an error names."""


@dataclass(frozen=True)
class ImportReport:
    """What an import brought in.

    path: the safetensors file written; sha256 of it; source_sha256 of the checkpoint it came from.
    tensors: how many; parameters: without batch-norm statistics. ignored: keys left out by pattern.
    notes: what was taken out of the file and what was left, line by line.
    """

    path: Path
    sha256: str
    source_sha256: str
    tensors: int
    parameters: int
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """One way to read a file: the tensors of one dictionary in it whose keys begin alike, without that beginning.

    path: keys that lead to the dictionary. prefix: the beginning, with its dot. outside: keys that begin otherwise.
    metadata: what the translation of another program's keys added.
    """

    path: tuple[str, ...]
    prefix: str
    tensors: Tensors
    outside: tuple[str, ...]
    metadata: Mapping[str, str]

    @property
    def average(self) -> bool:
        """Tell whether it is the moving average of the weights, by the names that lead to it."""
        return any(AVERAGE.search(name) for name in (*self.path, self.prefix))

    @property
    def rank(self) -> tuple[bool, int]:
        """Sort averages before the rest, then well-known containers."""
        name = self.path[-1] if self.path else ""
        return not self.average, CONTAINERS.index(name) if name in CONTAINERS else len(CONTAINERS)

    def __str__(self) -> str:
        """Name it: "params_ema", "state_dict/netG."."""
        return "/".join((*self.path, self.prefix)).strip("/") or "the file's own keys"


def import_checkpoint(
    source: Path,
    expected: Layout,
    ignored: Sequence[str],
    target: Path,
    origin: Mapping[str, str],
    others: Mapping[str, Callable[[], Layout]] | None = None,
    translate: Translate | None = None,
) -> ImportReport:
    """Convert a published checkpoint to a safetensors file that find() will find.

    source: .pth, .pt, .pth.tar (zip or legacy torch format, read with weights_only=True alone), .safetensors or .mat.
    expected: the network's layout; every key and shape must fit. ignored: fnmatch patterns of published keys
    that are no part of the network. The dictionary and the prefix of keys that fit are looked for; averages (EMA)
    are preferred. target: the file to write. origin: metadata (method, part, tag, …); the source's name and sha256
    are added. others: () → layouts of further parts, for the hint in the error. translate: as Method.translate.
    Floating tensors become float32, integers stay. Raises WeightsError: unreadable, unsafe, another layout,
    not finite, or not writable.
    """
    content = read(source)
    fitting = _fitting(source, content, expected, ignored, translate)
    if not fitting:
        fits = [
            part for part, layout in (others or {}).items() if _fitting(source, content, layout(), ignored, translate)
        ]
        hint = f"; this looks like part {' or '.join(fits)}" if fits else ""
        nearest = _nearest(source, content, expected, ignored, translate)
        raise WeightsError(f"{source} does not fit the network: {nearest}{hint}")
    taken = fitting[0]
    kept = {key: _plain(source, key, taken.tensors[key]) for key in expected}
    left_out = [key for key in taken.tensors if key not in expected]
    residue = [key for key in left_out if _is_residue(key)]
    source_sha256 = weights.sha256(source)
    weights.save(target, kept, {**origin, **taken.metadata, "source": source.name, "source_sha256": source_sha256})
    return ImportReport(
        path=target,
        sha256=weights.sha256(target),
        source_sha256=source_sha256,
        tensors=len(kept),
        parameters=weights.parameter_count(_shapes(kept)),
        ignored=tuple(key for key in left_out if key not in residue),
        notes=tuple(_notes(fitting, residue)),
    )


def _notes(fitting: Sequence[Reading], residue: Sequence[str]) -> Iterator[str]:
    taken, *others = fitting
    if taken.path or taken.prefix:
        average = ", the moving average of the weights" if taken.average else ""
        beside = f"; {few(map(str, others))} would fit too" if others else ""
        yield f"taken: {taken}{average}{beside}"
    if taken.outside:
        yield f"left out, not of this network: {few(taken.outside)}"
    if residue:
        yield f"left out, no weights: {few(residue)}"


# --- reading ---------------------------------------------------------------------


def read(source: Path) -> object:
    """Read a checkpoint onto the CPU without running anything in it. Raises WeightsError."""
    if not source.is_file():
        raise WeightsError(f"{source}: there is no such file")
    if source.name.endswith(weights.SUFFIX):
        return weights.load(source)[0]
    if source.name.endswith(MATLAB):
        return _read_matlab(source)
    try:
        with source.open("rb") as handle:
            start = handle.read(64).lstrip()
    except OSError as error:
        raise WeightsError(f"{source}: cannot be read: {error.strerror}") from None
    if start.startswith(b"<"):
        raise WeightsError(f"{source} is a web page, not a checkpoint; open the link in a browser to download the file")
    _refuse_packed(source)
    return _unpickle(source)


def _read_matlab(source: Path) -> dict[str, torch.Tensor]:
    """Read the arrays of numbers of a MATLAB file (version 4 to 7.2); nothing else in it is looked at."""
    import torch
    from scipy.io import loadmat, whosmat

    try:
        # The list alone says how much the file would unpack to.
        numbers = {name: math.prod(shape) for name, shape, kind in whosmat(source) if kind in NUMBERS}
        if sum(numbers.values()) * 8 > PACKED * source.stat().st_size + 2**24:
            raise WeightsError(f"{source} was refused: it would unpack to {sum(numbers.values())} numbers")
        arrays = loadmat(source, variable_names=list(numbers))
    except WeightsError:
        raise
    except Exception as error:  # damaged files raise a dozen kinds
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise WeightsError(f"{source} is damaged or no MATLAB file of version 4 to 7.2 ({reason})") from None
    return {name: torch.from_numpy(arrays[name].astype("float64")) for name in numbers}


def read_state(source: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a file whose network is not known. Raises WeightsError.

    Of several dictionaries, averages (EMA) come first, then well-known containers, then the one that holds most.
    """
    readings = _readings(source, read(source), {}, None)
    best = min(readings, key=lambda reading: (reading.rank, -len(reading.tensors)))
    return {key: _plain(source, key, tensor) for key, tensor in best.tensors.items()}


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


# --- looking for the network -------------------------------------------------------


def _fitting(
    source: Path, content: object, layout: Layout, ignored: Sequence[str], translate: Translate | None
) -> list[Reading]:
    """List the readings of a file that are the network, the preferred one first."""
    readings = _readings(source, content, layout, translate)
    fits = [reading for reading in readings if not differences(_shapes(_without(reading, layout, ignored)), layout)]
    return sorted(fits, key=lambda reading: reading.rank)


def _nearest(source: Path, content: object, layout: Layout, ignored: Sequence[str], translate: Translate | None) -> str:
    """Describe how the reading that shares most keys with the network differs from it."""
    readings = _readings(source, content, layout, translate)
    best = max(readings, key=lambda reading: len(layout.keys() & reading.tensors.keys()))
    where = f"in {best}: " if best.path or best.prefix else ""
    return where + differences(_shapes(_without(best, layout, ignored)), layout)


def _readings(source: Path, content: object, layout: Layout, translate: Translate | None) -> list[Reading]:
    """List the readings that share keys with a layout; one for each dictionary that shares none.

    Raises WeightsError for a file without tensors, and for one that holds a tensor twice.
    """
    if not isinstance(content, Mapping):
        raise WeightsError(f"{source} holds a {type(content).__name__}, not a state dict")
    readings = []
    for path, tensors in _dictionaries(content, (), set()):
        named = _unwrapped(source, tensors, layout)
        metadata: Mapping[str, str] = {}
        if translate is not None:
            state = translate(named)
            named, metadata = dict(state.tensors), state.metadata
        for prefix in _prefixes(named, layout):
            inside = {key.removeprefix(prefix): tensor for key, tensor in named.items() if key.startswith(prefix)}
            outside = tuple(key for key in named if not key.startswith(prefix) and not _is_residue(key))
            readings.append(Reading(path, prefix, inside, outside, metadata))
    if not readings:
        raise WeightsError(f"{source} holds no tensors; its entries: {few(map(str, content)) or 'none'}")
    return readings


def _dictionaries(
    content: object, path: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """Yield each dictionary that holds tensors once, with the keys that lead to it: a pickle may hold itself."""
    import torch

    if not isinstance(content, Mapping) or id(content) in seen or len(path) > DEPTH:
        return
    seen.add(id(content))
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield path, tensors
    for key, value in content.items():
        yield from _dictionaries(value, (*path, str(key)), seen)


def _unwrapped(source: Path, tensors: Tensors, layout: Layout) -> dict[str, torch.Tensor]:
    """Drop the names of wrappers from keys, unless the network has a module of that name."""
    own = {name for key in layout for name in key.split(".")}
    wrappers = {name for name in WRAPPERS if name not in own}
    named: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        name = ".".join(part for part in key.split(".") if part not in wrappers)
        if name in named:
            raise WeightsError(f"{source} holds {name} twice, with and without {' or '.join(sorted(wrappers))}")
        named[name] = tensor
    return named


def _prefixes(tensors: Tensors, layout: Layout) -> list[str]:
    """List what stands before most keys of the layout, each with its dot; "" alone where no key is the layout's."""
    counts: Counter[str] = Counter()
    for key in tensors:
        starts = [0, *(dot.end() for dot in re.finditer(r"\.", key))]
        counts.update(key[:start] for start in starts if key[start:] in layout)
    return [prefix for prefix, _ in counts.most_common(PREFIXES)] or [""]


def _is_residue(key: str) -> bool:
    return key.rpartition(".")[2] in RESIDUE


# --- checking --------------------------------------------------------------------


def _without(reading: Reading, layout: Layout, ignored: Sequence[str]) -> dict[str, torch.Tensor]:
    """Leave out residue and what matches an ignored pattern, unless the layout wants it."""
    return {
        key: tensor
        for key, tensor in reading.tensors.items()
        if key in layout or not (_is_residue(key) or any(fnmatchcase(key, pattern) for pattern in ignored))
    }


def _shapes(tensors: Tensors) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


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

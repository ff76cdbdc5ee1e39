"""Which weights files a method uses at a scale."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from rescale_bench.api.records import Method, State, States, qualified
from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.specs import RANDOM
from rescale_bench.errors import UnavailableError, WeightsError
from rescale_bench.weights import stored as weights

RANDOM_SEED = 0


@dataclass(frozen=True)
class ChosenWeights:
    """The weights of one method at one scale: their tag, one hash over all files, and the files by part."""

    tag: str = ""
    sha256: str = ""
    files: tuple[tuple[str, str], ...] = ()


def choose_weights(method: Chosen, scale: Decimal, registry: Registry) -> ChosenWeights:
    """Find the files that a method needs at a scale. Raises UnavailableError saying how to get them."""
    record: Method = method.record
    parts = [qualified(record, part) for part in record.parts(scale)]
    if not parts:
        return ChosenWeights()
    if method.weights == RANDOM:
        return ChosenWeights(RANDOM, RANDOM, tuple((part, "") for part in parts))
    found = {}
    owners = {name: _owner(name, registry)[0] for name in (part.partition("/")[0] for part in parts)}
    given = weights.is_path(method.weights) and any(owner.locate for owner in owners.values())
    for name, owner in owners.items():
        own = [part.partition("/")[2] for part in parts if part.startswith(f"{name}/")]
        # In a pair, a file is meant for the half that takes files as they are.
        wanted = _owner(name, registry)[1] or ("" if given and owner.locate is None else method.weights)
        for file in _find(owner, own, wanted, scale):
            found[f"{name}/{file.part}"] = file
    tags = sorted({file.tag for file in found.values()})
    digest = next(iter(found.values())).sha256
    if len(found) > 1:
        text = "\n".join(f"{part} {file.sha256}" for part, file in sorted(found.items()))
        digest = hashlib.sha256(text.encode()).hexdigest()
    return ChosenWeights("+".join(tags), digest, tuple((part, str(file.path)) for part, file in found.items()))


def _owner(name: str, registry: Registry) -> tuple[Method, str]:
    """Take `irn@mine`, a half of a pair, apart into the method and the tag of its weights, "" where it names none."""
    base, _, tag = (name, "", "") if name in registry.methods else name.partition("@")
    return registry.methods[base], tag


def lookup_order(method: Method) -> list[str]:
    """List the tags that are tried when the user names none: those a method declares, then those it ships, by name."""
    return list(dict.fromkeys([*(file.tag for file in method.weights), *_shipped(method)]))


def sources(method: Method) -> str:
    """Say where a method's weights are: "ships base; import published; train"; "" where it needs none."""
    tags = dict.fromkeys(file.tag for file in method.weights)
    words = [
        f"ships {', '.join(shipped)}" if (shipped := _shipped(method)) else "",
        f"{'finds' if method.locate else 'import'} {', '.join(tags)}" if tags else "",
        "your file" if (method.locate and not tags) or any(option.is_path for option in method.options) else "",
        "train" if method.training else "",
    ]
    return "; ".join(filter(None, words))


def training_seconds(path: Path, registry: Registry) -> float | None:
    """Sum the seconds of training of a weights file and of those that it started from, as far as these are here.

    None where its header names no seconds. Raises WeightsError.
    """
    known = weights.read_header(path).metadata
    if "seconds" not in known:
        return None
    seconds = float(known["seconds"])
    if starts := set(json.loads(known.get("start", "{}")).values()):
        for method in registry.methods.values():
            for file in weights.available(method.name, method.shipped):
                if weights.sha256(file.path) in starts:
                    seconds += training_seconds(file.path, registry) or 0.0
    return seconds


def _shipped(method: Method) -> list[str]:
    folder = method.shipped
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder and folder.is_dir() else []


def _find(method: Method, parts: list[str], wanted: str, scale: Decimal) -> list[weights.Found]:
    if method.locate is not None:
        located = method.locate(scale, wanted).items()
        return [weights.Found(_tag(method, path), part, path, weights.sha256(path)) for part, path in located]
    tags = lookup_order(method)
    files = {file.part: file.file for file in method.weights if file.tag == "published"}
    return weights.find(method.name, parts, tags, method.shipped, wanted, files)


def _tag(method: Method, path: Path) -> str:
    return next((file.tag for file in method.weights if file.file == path.name), f"file:{path.stem}")


def load_states(files: tuple[tuple[str, str], ...], registry: Registry, derived: bool) -> States:
    """Read the chosen files, each half its own copy; parts keep their owner's name for derived methods."""
    states: dict[str, State] = {}
    for part, path in files:
        owner, _, own = part.partition("/")
        name = part if derived else own
        states[name] = _random(_owner(owner, registry)[0], own) if not path else _read(path)
    return states


def _read(path: str) -> State:
    if not path.endswith(weights.SUFFIX):
        from rescale_bench.weights.checkpoints import read_state

        return State(read_state(Path(path)))
    tensors, metadata = weights.load(Path(path))
    return State(tensors, metadata)


def _random(method: Method, part: str) -> State:
    if method.initial is None:
        raise UnavailableError(f"{method.name} cannot be filled with random weights")
    state = method.initial(part, RANDOM_SEED)
    if not isinstance(state.tensors, Mapping):
        raise WeightsError(f"{method.name}: initial({part}) gave no tensors")
    return state

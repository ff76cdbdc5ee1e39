"""`list` and `info`: what there is, and all about one of it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rescale_bench.cli.common import add_plugin_flag, registry
from rescale_bench.cli.screen import show
from rescale_bench.errors import RescaleBenchError, UnknownNameError
from rescale_bench.machine.printable import printable

KINDS = ("methods", "datasets", "codecs", "damages", "metrics", "protocols")


def add(verbs: Any) -> None:
    """Add the verbs."""
    parser = verbs.add_parser("list", help="list " + ", ".join(KINDS))
    parser.add_argument("kind", nargs="?", choices=KINDS, help="only this kind")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_plugin_flag(parser)
    parser.set_defaults(call=call_list)
    parser = verbs.add_parser("info", help="print all about one method, data set, codec, damage, metric or protocol")
    parser.add_argument("name", help="a name from `list`; METHOD@TAG for one set of weights")
    parser.add_argument("--json", action="store_true", help="as JSON")
    add_plugin_flag(parser)
    parser.set_defaults(call=call_info)


def call_list(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print names and one line about each."""
    del given
    plugins = registry(known)
    kinds = [known.kind] if known.kind else KINDS
    listed = {kind: dict(_entries(plugins, kind)) for kind in kinds}
    if known.json:
        show(json.dumps(listed, indent=2, ensure_ascii=False), "json")
        return 0
    for position, (kind, entries) in enumerate(listed.items()):
        show(("\n" if position else "") + kind)
        width = max(map(len, entries), default=0)
        for group, names in _groups(plugins, kind, list(entries)).items():
            if group:
                show(f"  {group}")
            for name in names:
                show(f"  {'  ' if group else ''}{name:<{width}}  {entries[name]}", hang=width + 2)
    return 0


def _entries(plugins: Any, kind: str) -> Iterator[tuple[str, str]]:
    from rescale_bench.weights.choice import sources

    for name, record in getattr(plugins, kind).items():
        scales = f"; scales {record.scales}" if kind == "methods" else ""
        weights = sources(record) if kind == "methods" else ""
        yield name, f"{record.summary}{scales}{weights and f'; weights: {weights}'}"
    if kind == "methods":
        for rule in plugins.rules:
            yield rule.form, rule.summary


def _groups(plugins: Any, kind: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Sort the methods by family; other kinds are one group without a name."""
    if kind != "methods":
        return {"": list(names)}
    from rescale_bench.api.methods import FAMILIES, family

    groups: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for name in names:
        groups[family(plugins.methods[name]) if name in plugins.methods else "wrappers"].append(name)
    return {group: members for group, members in groups.items() if members}


def call_info(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print everything about all that a name stands for; JSON is an object, or a list where it stands for several."""
    del given
    meanings = [dict(facts) for facts in _meanings(registry(known), known.name)]
    if known.json:
        content = meanings if len(meanings) > 1 else meanings[0]
        show(json.dumps(content, indent=2, ensure_ascii=False, default=str), "json")
        return 0
    for position, facts in enumerate(meanings):
        if position:
            show("")
        width = max(map(len, facts))
        for key, value in facts.items():
            lines = value if isinstance(value, list) else [value]
            show(f"{key:<{width}}  {lines[0] if lines else '–'}", hang=width + 2)
            for line in lines[1:]:
                show(f"{'':<{width}}  {line}", hang=0)
    return 0


def _meanings(plugins: Any, text: str) -> list[Iterator[tuple[str, Any]]]:
    """Collect the facts of each thing that a name stands for: aidn is a method and a protocol. Raises UsageError."""
    from rescale_bench.api.registry import FILE
    from rescale_bench.datasets import find_dataset

    meanings: list[Iterator[tuple[str, Any]]] = []
    with contextlib.suppress(UnknownNameError):
        name, _, file = text.partition(f":{FILE.name}=")
        name, _, tag = (name, "", "") if name in plugins.methods else name.partition("@")
        method = plugins.method(name)
        meanings.append(chain(_method(method, plugins, tag), _file(method, Path(file).expanduser()) if file else ()))
    base = text.partition("@")[0]
    if base.lower() in map(str.lower, plugins.datasets):
        dataset = find_dataset(text, plugins.datasets)[0]
        meanings.append(_plain("dataset", dataset, plugins.origin("datasets", dataset.name.partition("@")[0])))
    for kind in ("codecs", "damages", "metrics"):
        if text in getattr(plugins, kind):
            meanings.append(_plain(kind.removesuffix("s"), getattr(plugins, kind)[text], plugins.origin(kind, text)))
    base = text.partition(":")[0]
    if base in plugins.protocols:
        meanings.append(_plain("protocol", plugins.choose_protocol(text), plugins.origin("protocols", base)))
    names = {name for kind in KINDS for name in getattr(plugins, kind)}
    if not meanings:
        raise UnknownNameError("name", text, names)
    relatives = sorted(name for name in names if name.startswith(f"{text}-"))
    return meanings if not relatives else [*meanings[:-1], chain(meanings[-1], [("see also", relatives)])]


def _plain(kind: str, record: Any, origin: str) -> Iterator[tuple[str, Any]]:
    """Lay a record out field by field; callables are of no interest to a reader."""
    yield kind, record.name
    yield "plugin", origin
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if field.name == "name" or callable(value):
            continue
        if field.name == "options":
            value = [_option(option) for option in value]
        yield field.name, sorted(value) if isinstance(value, frozenset) else value
    problems = getattr(record, "problems", getattr(record, "requires", None))
    if problems is not None:
        yield "usable here", problems() or "yes"


def _option(option: Any) -> str:
    choices = f" ({' | '.join(map(str, option.choices))})" if option.choices else ""
    return f"{option.name}={option.default}{choices}: {option.summary}"


def _method(method: Any, plugins: Any, tag: str) -> Iterator[tuple[str, Any]]:
    from rescale_bench.weights import stored as weights
    from rescale_bench.weights.choice import lookup_order

    files = weights.available(method.name, method.shipped)
    tags = dict.fromkeys([*(entry.tag for entry in files), *(file.tag for file in method.weights)])
    if tag and tag not in tags:
        raise UnknownNameError(f"weights of {method.name}", tag, tags)
    yield "method", method.name
    yield "plugin", plugins.origin("methods", method.name)
    yield "summary", method.summary
    yield "citation", method.citation
    yield "version", method.version
    yield "native scales", str(method.scales)
    yield "halves", sorted(method.halves)
    yield "options", [_option(option) for option in method.options]
    yield "codec", method.codec or "png"
    if method.traits.draws:
        yield "random", "the upscaler draws from the cell's seed"
    if method.parameters:
        yield "parameters", [f"{part}: {count:,}" for part, count in method.parameters.items()]
    if method.locate is not None:
        yield "weights here", list(_located(method))
    elif method.weights or method.shipped:
        yield "lookup order", [*lookup_order(method), "your own tags, and random (unpublishable), only when asked for"]
        yield "weights here", [
            line for entry in files if tag in ("", entry.tag)
            for line in _weights(entry, detailed=bool(tag))
        ] or ["none"]  # fmt: skip
    if method.weights:
        yield "weights known", [_known_file(file) for file in method.weights if tag in ("", file.tag)]


def _file(method: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Say what a file that lies anywhere holds. Raises RescaleBenchError."""
    from rescale_bench.weights import stored as weights

    yield "file", printable(str(path))
    yield "sha256", weights.sha256(path)
    if method.describe is not None:
        yield from method.describe(path).items()


def _located(method: Any) -> Iterator[str]:
    """List the files of a method that lie outside of the weights folders, or say why there are none."""
    from rescale_bench.weights import stored as weights

    for scale in sorted(method.scales.values or ()):
        try:
            for part, path in method.locate(scale, "").items():
                yield printable(f"{part}: {path}, sha256 {weights.sha256(path)}")
        except RescaleBenchError as error:
            yield printable(str(error))
            return


def _known_file(file: Any) -> str:
    return f"{file.tag} {file.part}: {file.file} ({file.source}{file.licence and f'; licence {file.licence}'})"


def _weights(entry: Any, detailed: bool) -> Iterator[str]:
    yield f"{entry.tag} {entry.part}: {entry.parameters:,} parameters, {entry.path}"
    if detailed:
        yield from (printable(f"    {key}: {value}") for key, value in sorted(entry.metadata.items()))

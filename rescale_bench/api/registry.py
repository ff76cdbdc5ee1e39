"""Find the plugins, check what they yield, and look things up by name."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, cast

import pluggy

from rescale_bench.api import hookspecs
from rescale_bench.api.metrics import Metric, SetMetric
from rescale_bench.api.protocol_switches import with_switches
from rescale_bench.api.records import (
    ClaimsFile,
    Codec,
    Damage,
    Dataset,
    Method,
    MethodRule,
    Option,
    Protocol,
    Value,
    all_parts,
    configured,
)
from rescale_bench.api.specs import Spec, canonical, label, parse_spec, placed, resolve, split_plain
from rescale_bench.errors import PluginError, RescaleBenchError, UnknownNameError, UsageError

GROUP = "rescale_bench"
PLUGINS_VARIABLE, DISABLE_VARIABLE = "RESCALE_BENCH_PLUGINS", "RESCALE_BENCH_DISABLE"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")
MAX_NAME = 200
KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "methods": (Method,),
        "method_rules": (MethodRule,),
        "datasets": (Dataset,),
        "codecs": (Codec,),
        "damages": (Damage,),
        "metrics": (Metric, SetMetric),
        "protocols": (Protocol,),
        "claims": (ClaimsFile,),
    }
)
WEIGHTS = Option("weights", "", "tag of the weights (published, base, random, your own), or a path")
FILE = Option("file", "", "the path of a weights file, in place of weights=")


@dataclass(frozen=True)
class Chosen:
    """Something picked on the command line, with its typed options.

    record: the Method, Metric, Codec or Damage. options: typed, defaults filled in.
    label: canonical text, the same for the same choice. weights: the wanted tag or path ("" for the first found).
    spec: the text that finds it again in another process.
    """

    record: Any
    options: Mapping[str, Value]
    label: str
    weights: str = ""
    spec: str = ""


@dataclass(frozen=True)
class Registry:
    """Everything the plugins yielded, by kind and name; origins tell which plugin a name came from."""

    methods: Mapping[str, Method]
    rules: tuple[MethodRule, ...]
    datasets: Mapping[str, Dataset]
    codecs: Mapping[str, Codec]
    damages: Mapping[str, Damage]
    metrics: Mapping[str, Metric | SetMetric]
    protocols: Mapping[str, Protocol]
    claims: Mapping[str, ClaimsFile]
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def method(self, name: str) -> Method:
        """Find a method by name, made by a rule if need be. Raises UnknownNameError, and UsageError when endless."""
        if name in self.methods:
            return self.methods[name]
        if len(name) > MAX_NAME:  # each rule takes something off the name and asks again
            raise UsageError(f"a method name of {len(name)} characters; at most {MAX_NAME}")
        for rule in self.rules:
            made = rule.derive(name, self.method)
            if made is not None:
                return made
        raise UnknownNameError("method", name, [*self.methods, *(rule.form for rule in self.rules)])

    def choose_method(self, spec: Spec, about: str = "methods") -> Chosen:
        """Find a whole method (both halves) and type its options. Raises UsageError."""
        method = self.method(spec.name)
        options = (*method.options, WEIGHTS, FILE) if all_parts(method) else method.options
        values = resolve(spec, options, about)
        weights, file = (str(values.pop(option.name, "")) for option in (WEIGHTS, FILE))
        if weights and file:
            raise UsageError(f"{spec.name}: give weights={weights} or file={file}, not both", about)
        method = configured(method, values)
        if missing := {"down", "up"} - method.halves:
            half = missing.pop()
            pair = f"bicubic+{method.name}" if half == "down" else f"{method.name}+bicubic"
            raise UsageError(f"{method.name} has no {half}scaler; pair it, for example {pair}", about)
        text = label(method.name, canonical(values, method.options))
        return Chosen(method, values, text, weights or file, spec.text)

    @property
    def ordered_metrics(self) -> list[Metric | SetMetric]:
        """All metrics in the order of tables."""
        return sorted(self.metrics.values(), key=lambda metric: (metric.order, metric.name))

    @property
    def default_metrics(self) -> list[str]:
        """The metrics that a run measures where nobody names any, in the order of tables."""
        return [metric.name for metric in self.ordered_metrics if isinstance(metric, Metric) and metric.default]

    def choose_metric(self, spec: Spec, about: str = "metrics") -> Chosen:
        """Find a metric and type its options. Raises UsageError."""
        return _choose("metric", self.metrics, spec, about)

    def choose_codec(self, spec: Spec, about: str = "codecs") -> Chosen:
        """Find a codec and type its options. Raises UsageError."""
        return _choose("codec", self.codecs, spec, about)

    def choose_damage(self, text: str, about: str = "damage") -> tuple[Chosen, ...]:
        """Find what happens to an LR image, one step after the other ("noise:1+jpeg:90:444"). Raises UsageError."""
        steps = [parse_spec(step, about) for step in split_plain(text, "+", about)]
        chosen = [_choose("damage", self.damages, step, about) for step in steps]
        return tuple(replace(step, label=placed(step.record, step.options)) for step in chosen)

    def own_codec(self, method: Method) -> Chosen:
        """Find the file format that a method asks for where the user names none. Raises UsageError."""
        return self.choose_codec(parse_spec(method.codec or "png", "codec"), "codec")

    def choose_protocol(self, text: str) -> Protocol:
        """Find a protocol, with switches changed if asked (`rgb8:border=0`). Raises UsageError."""
        spec = parse_spec(text, "protocol")
        if spec.name not in self.protocols:
            raise UnknownNameError("protocol", spec.name, self.protocols)
        return with_switches(self.protocols[spec.name], spec)

    def origin(self, kind: str, name: str) -> str:
        """Say which plugin a name came from."""
        return self.origins.get((kind, name), "a name rule")


def _choose(kind: str, known: Mapping[str, Any], spec: Spec, about: str) -> Chosen:
    if spec.name not in known:
        raise UnknownNameError(kind, spec.name, known)
    record = known[spec.name]
    values = resolve(spec, record.options, about)
    return Chosen(record, values, label(record.name, canonical(values, record.options)))


def load_registry(files: Sequence[str] = (), without: Iterable[str] = (), from_variable: bool = True) -> Registry:
    """Load built-in parts, installed plugins and plugin files.

    files: paths of single-file plugins (also from RESCALE_BENCH_PLUGINS, separated as PATH is, unless from_variable
    is False). without: installed plugins to leave out.
    Raises PluginError naming the plugin that is broken, duplicate or misspelt.
    RESCALE_BENCH_DISABLE names installed plugins to leave out, separated by commas.
    """
    extra = os.environ.get(PLUGINS_VARIABLE, "").split(os.pathsep) if from_variable else []
    paths = tuple(str(Path(path).resolve()) for path in dict.fromkeys((*filter(None, extra), *files)))
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    for name, module in (*_installed(set(without)), *_from_files(paths)):
        _register(manager, name, module)
    return _collect(manager, paths)


def _installed(without: set[str]) -> Iterable[tuple[str, ModuleType]]:
    disabled = without | set(os.environ.get(DISABLE_VARIABLE, "").split(","))
    seen: dict[str, str] = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in disabled:
            continue
        if entry.name in seen and seen[entry.name] != entry.value:
            raise PluginError(f"two installed plugins are called '{entry.name}': {seen[entry.name]} and {entry.value}")
        if entry.name in seen:
            continue
        seen[entry.name] = entry.value
        try:
            module = entry.load()
        except Exception as error:
            raise PluginError(_broken(entry.name, entry.value, error)) from error
        yield entry.name, module


def _from_files(paths: Sequence[str]) -> Iterable[tuple[str, ModuleType]]:
    for path in paths:
        name = Path(path).stem
        if not Path(path).is_file():
            raise PluginError(f"plugin file {path} does not exist")
        spec = importlib.util.spec_from_file_location(f"rescale_bench_plugin_{name}", path)
        if spec is None or spec.loader is None:
            raise PluginError(f"plugin file {path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        # Registered before running, so that dataclasses and pickling find the module by its name.
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[spec.name]
            raise PluginError(_broken(name, path, error)) from error
        yield f"{name} ({path})", module


def _broken(name: str, origin: str, error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return (
        f"plugin '{name}' ({origin}) cannot be loaded: {type(error).__name__}: {text}; "
        f"repair it, uninstall it, or leave it out with RESCALE_BENCH_DISABLE={name}"
    )


def _register(manager: pluggy.PluginManager, name: str, module: ModuleType) -> None:
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"plugin '{name}': {' '.join(str(error).split())}; hooks are called {_hooks()}") from error
    except ValueError as error:
        raise PluginError(f"plugin '{name}' is registered twice: {error}") from error


def _hooks() -> str:
    return ", ".join(f"rescale_bench_{kind}" for kind in KINDS)


def _collect(manager: pluggy.PluginManager, files: tuple[str, ...]) -> Registry:
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    origins: dict[tuple[str, str], str] = {}
    for kind, types in KINDS.items():
        for implementation in getattr(manager.hook, f"rescale_bench_{kind}").get_hookimpls():
            for record in _yielded(implementation, kind, types, found["codecs"]):
                name = record.form if kind == "method_rules" else record.name
                _claim(found[kind], origins, kind, name, implementation.plugin_name)
                found[kind][name] = record
    rules = tuple(sorted(found["method_rules"].values(), key=lambda rule: -rule.priority))
    maps = {kind: MappingProxyType(dict(sorted(found[kind].items()))) for kind in KINDS if kind != "method_rules"}
    return Registry(rules=rules, origins=MappingProxyType(origins), files=files, **maps)


def _yielded(
    implementation: pluggy.HookImpl, kind: str, types: tuple[type, ...], codecs: Mapping[str, Codec]
) -> list[Any]:
    function = cast(Callable[..., Iterable[Any] | None], implementation.function)
    name: str = implementation.plugin_name
    offered = {"codecs": tuple(codecs.values())}
    try:
        records = list(function(**{argument: offered[argument] for argument in implementation.argnames}) or ())
    except RescaleBenchError:
        raise
    except Exception as error:
        raise PluginError(
            f"plugin '{name}': rescale_bench_{kind} raised {type(error).__name__}: {error}; repair or uninstall it"
        ) from error
    for record in records:
        if not isinstance(record, types):
            raise PluginError(
                f"plugin '{name}': rescale_bench_{kind} yielded {type(record).__name__}, not "
                + " or ".join(kind.__name__ for kind in types)
            )
    return records


def _claim(known: Mapping[str, Any], origins: dict[tuple[str, str], str], kind: str, name: str, plugin: str) -> None:
    if kind != "method_rules" and not NAME.fullmatch(name):
        raise PluginError(f"plugin '{plugin}': '{name}' is not a name (letters, digits, '_', '.', '@', '-')")
    if name in known:
        raise PluginError(f"plugin '{plugin}': {kind} '{name}' is already registered by '{origins[kind, name]}'")
    origins[kind, name] = plugin

"""Methods given as objects, without a plugin file: for experiments in a notebook."""

from __future__ import annotations

import copy
import dataclasses
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rescale_bench.api.records import Method, Rescaler, States, Value
from rescale_bench.api.registry import NAME, Registry
from rescale_bench.api.scales import NativeScales
from rescale_bench.api.specs import UNVERSIONED
from rescale_bench.errors import UsageError
from rescale_bench.runner.cells import Part, Plan
from rescale_bench.runner.request import Request

DEFAULT = next(field.default for field in dataclasses.fields(Method) if field.name == "version")


def split_methods(methods: str | Sequence[object]) -> tuple[str, list[Method]]:
    """Split what a user gave into the names of all methods, as one text, and those given as objects.

    Raises UsageError for what is neither a name, a Method nor a Rescaler.
    """
    if isinstance(methods, str):
        return methods, []
    objects = {id(method): _method(method) for method in methods if not isinstance(method, str)}
    names = [method if isinstance(method, str) else objects[id(method)].name for method in methods]
    return ",".join(names), list(objects.values())


def with_methods(registry: Registry, methods: Sequence[Method], request: Request) -> Registry:
    """Add methods to a registry. Raises UsageError where a name is taken, and where other processes would need them."""
    if methods and (request.jobs > 1 or request.limited or request.backend == "dask"):
        raise UsageError(f"{methods[0].name} is an object of this process; run it without other processes", "methods")
    added: dict[str, Method] = {}
    for method in methods:
        if method.name in registry.methods or method.name in added:
            raise UsageError(f"'{method.name}' is registered already; give the object another name", "methods")
        if not NAME.fullmatch(method.name):
            raise UsageError(f"'{method.name}' is not a name (letters, digits, '_', '.', '@', '-')", "methods")
        # Without a version nobody knows whether stored values are those of this code.
        version = f"unversioned-{uuid.uuid4().hex}" if method.version in ("", DEFAULT) else method.version
        added[method.name] = dataclasses.replace(method, version=version)
    return dataclasses.replace(registry, methods={**registry.methods, **added})


def marked(plan: Plan, methods: Sequence[Method]) -> Plan:
    """Mark the rows of methods without a version as not publishable."""
    names = {method.name for method in methods if method.version in ("", DEFAULT)}
    return dataclasses.replace(
        plan, parts=tuple(_marked(p) if p.method.record.name in names else p for p in plan.parts)
    )


def _marked(part: Part) -> Part:
    tag = "+".join(filter(None, (part.weights.tag, UNVERSIONED)))
    return dataclasses.replace(part, weights=dataclasses.replace(part.weights, tag=tag))


def _method(given: object) -> Method:
    """Make a Method of an object: it is one, or a Rescaler (or its class) with name, version and scales if it likes."""
    if isinstance(given, Method):
        return given
    if not all(callable(getattr(given, half, None)) for half in ("downscale", "upscale")):
        raise UsageError(f"{given!r} is no method: give a name, a Method, or an object with downscale and upscale",
                         "methods")  # fmt: skip
    kind = given if isinstance(given, type) else type(given)

    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        """Give each half an instance of its own."""
        made: Any = given() if isinstance(given, type) else copy.deepcopy(given)
        return cast(Rescaler, made)

    return Method(
        name=getattr(given, "name", None) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", kind.__name__).lower(),
        summary=f"the object {kind.__qualname__}",
        citation="",
        scales=getattr(given, "scales", None) or NativeScales(),
        version=str(getattr(given, "version", "")),
        build=build,
    )

"""Change single switches of a protocol by its name (`rgb8:border=0`)."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args, get_type_hints

from rescale_bench.api.records import Protocol
from rescale_bench.api.specs import Spec
from rescale_bench.errors import UnknownNameError, UsageError


def with_switches(protocol: Protocol, spec: Spec) -> Protocol:
    """Change single switches of a protocol (`rgb8:border=0,luma=full`); the new name says so.

    Raises UsageError for switches that do not exist or values they do not take.
    """
    if not spec.given:
        return protocol
    hints = get_type_hints(Protocol)
    fields = [f.name for f in dataclasses.fields(Protocol) if f.name not in ("name", "summary", "source", "version")]
    changes: dict[str, str] = {}
    for key, text in spec.given:
        if key not in fields or key in ("grey", "reference", "data_range", "plane"):
            raise UnknownNameError(f"switch of protocol {protocol.name}", key, _switches(fields))
        allowed = get_args(hints[key])
        if allowed and text not in allowed:
            raise UsageError(f"--protocol: {key}={text}; choose from {', '.join(allowed)}")
        if not allowed and not (re.fullmatch(r"[0-9]{1,5}", text) or text in ("scale", "none")):
            raise UsageError(f"--protocol: {key}={text}; give scale, none or a number of pixels")
        if key == "mod_crop" and text.strip("0") == "":
            raise UsageError(f"--protocol: mod_crop={text}; give scale, none or a number above 0")
        value = "0" if not allowed and text == "none" and key != "mod_crop" else text
        if getattr(protocol, key) != value:
            changes[key] = value
    suffix = ",".join(f"{key}={value}" for key, value in sorted(changes.items()))
    name = f"{protocol.name}:{suffix}" if suffix else protocol.name
    return dataclasses.replace(protocol, name=name, **changes)  # type: ignore[arg-type]  # checked above


def _switches(fields: list[str]) -> list[str]:
    return [name for name in fields if name not in ("grey", "reference", "data_range", "plane")]

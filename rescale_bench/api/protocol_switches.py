"""Change single switches of a protocol by its name (`rgb8:border=0`)."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args, get_type_hints

from rescale_bench.api.records import Protocol
from rescale_bench.api.specs import Spec
from rescale_bench.errors import UnknownNameError, UsageError

FIXED = ("name", "summary", "source", "version", "grey", "reference", "data_range", "plane")
"""Fields of a protocol that no switch changes."""
CROP = r"[0-9]{1,5}|scale|none"
BORDER = CROP + r"|scale\+[0-9]{1,3}"


def with_switches(protocol: Protocol, spec: Spec) -> Protocol:
    """Change single switches of a protocol (`rgb8:border=0,luma=full`); the new name says so.

    Raises UsageError for switches that do not exist or values they do not take.
    """
    if not spec.given:
        return protocol
    hints = get_type_hints(Protocol)
    switches = [field.name for field in dataclasses.fields(Protocol) if field.name not in FIXED]
    changes: dict[str, str] = {}
    for key, text in spec.given:
        if key not in switches:
            raise UnknownNameError(f"switch of protocol {protocol.name}", key, switches)
        allowed = get_args(hints[key])
        if allowed and text not in allowed:
            raise UsageError(f"{key}={text}; choose from {', '.join(allowed)}", "protocol")
        if not allowed and not re.fullmatch(BORDER if key.endswith("border") else CROP, text):
            also = ", scale+N" if key.endswith("border") else ""
            raise UsageError(f"{key}={text}; give scale{also}, none or a number of pixels", "protocol")
        if key == "mod_crop" and text.strip("0") == "":
            raise UsageError(f"mod_crop={text}; give scale, none or a number above 0", "protocol")
        value = "0" if not allowed and text == "none" and key != "mod_crop" else text
        if getattr(protocol, key) != value:
            changes[key] = value
    suffix = ",".join(f"{key}={value}" for key, value in sorted(changes.items()))
    name = f"{protocol.name}:{suffix}" if suffix else protocol.name
    return dataclasses.replace(protocol, name=name, **changes)  # type: ignore[arg-type]  # checked above

"""Where the settings of a run come from: flags, then the environment, then a YAML file, then defaults."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.machine.plain_yaml import read_yaml
from rescale_bench.runner.request import Request

LISTS = ("methods", "datasets", "scales", "metrics", "codecs", "damage", "plugins")


def make_request(flags: Mapping[str, Any], config: str | None) -> Request:
    """Combine the sources. Raises UsageError naming the flag, variable or file and key."""
    keys = {field.name: field for field in dataclasses.fields(Request)}
    values: dict[str, Any] = {}
    values.update(_from_file(Path(config), keys) if config else {})
    values.update(_from_environment(keys))
    values.update({key: value for key, value in flags.items() if key in keys and value is not None})
    if isinstance(values.get("output"), str):
        values["output"] = Path(values["output"])
    if "plugins" in values and isinstance(values["plugins"], str):
        values["plugins"] = tuple(values["plugins"].split(","))
    values["plugins"] = tuple(values.get("plugins", ()))
    return Request(**values)


def _from_environment(keys: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    # RESCALE_BENCH_PLUGINS is read by the plugin manager, for every verb.
    for key in keys.keys() - {"plugins"}:
        text = os.environ.get(f"RESCALE_BENCH_{key.upper()}")
        if text:
            found[key] = _typed(text, key, f"RESCALE_BENCH_{key.upper()}")
    return found


def _from_file(path: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    try:
        content = read_yaml(path, "methods: [bicubic, irn]")
    except UsageError as error:
        raise UsageError(f"--config: {error}") from None
    for key in content:
        if key not in keys:
            raise UnknownNameError(f"key in {path}", str(key), keys)
    return {key: _typed(value, key, f"{path}: {key}") for key, value in content.items()}


def _typed(value: Any, key: str, where: str) -> Any:
    if isinstance(value, list):
        if key not in LISTS or not all(isinstance(item, str) for item in value):
            raise UsageError(f"{where}: a list is not expected here")
        return tuple(value) if key == "plugins" else ",".join(value)
    if not isinstance(value, str):
        raise UsageError(f"{where}: a plain value is expected")
    default = getattr(Request, key, None)
    if isinstance(default, bool):
        if value.lower() not in ("true", "false", "yes", "no", "1", "0"):
            raise UsageError(f"{where}: '{value}' is neither true nor false")
        return value.lower() in ("true", "yes", "1")
    if isinstance(default, int):
        try:
            return int(value)
        except ValueError:
            raise UsageError(f"{where}: '{value}' is not a whole number") from None
    return value

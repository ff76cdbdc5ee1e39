"""YAML files of settings: all scalars are texts, and a key that stands twice is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import UsageError
from rescale_bench.machine.writing import reason

if TYPE_CHECKING:
    from yaml.nodes import Node


def read_yaml(path: Path, example: str) -> dict[str, Any]:
    """Read a file of `key: value` lines; values are texts, lists and mappings.

    example: a line that such a file may hold, for the message. Raises UsageError that begins with the path or names it.
    """
    import yaml

    try:
        # BaseLoader keeps every scalar as its text, so 4.0 and 2.50 stay the decimals they were written as.
        text = path.read_text(encoding="utf-8")
        tree, content = yaml.compose(text, Loader=yaml.BaseLoader), yaml.load(text, Loader=yaml.BaseLoader)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason(error)}") from None
    # Escapes beyond Unicode raise ValueError or OverflowError, thousands of brackets RecursionError.
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} must hold 'key: value' lines such as '{example}'")
    _refuse_repeated(path, tree)
    return content


def _refuse_repeated(path: Path, mapping: Node | None) -> None:
    """Refuse equal keys in the file's mapping and in those right below it: PyYAML keeps the last and says nothing."""
    lines: dict[Any, int] = {}
    for key, value in mapping.value if mapping else ():
        line = key.start_mark.line + 1
        if not isinstance(key.value, str):
            raise UsageError(f"{path}: the key in line {line} is no text")
        if key.value in lines:
            raise UsageError(f"{path}: {key.value} stands twice, in lines {lines[key.value]} and {line}")
        lines[key.value] = line
        if value.id == "mapping" and value is not mapping:
            _refuse_repeated(path, value)

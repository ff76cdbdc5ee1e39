"""A line of a journal: its checksum, and what it must hold before anything is computed from it."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import Any

from rescale_bench.runs.schema import OF_CELL, SCHEMA, split_dtype

NEEDED = ("cell", "protocol", "status", *(column.name for column in OF_CELL if column.default is None))
"""What every line has."""
TEXTS = frozenset(("status", "error", *(column.name for column in OF_CELL if column.type == "text")))
NUMBERS = tuple(column.name for column in OF_CELL if column.type in ("integer", "number"))
FLAGS = tuple(column.name for column in OF_CELL if column.type == "flag")
LARGEST = 2**53
"""No number of a cell is larger; beyond it tables cannot hold whole numbers."""
STATUSES = ("ok", "failed", "undefined")
SEAL = re.compile(r',"crc":"([0-9a-f]{8})"}\Z')


def sealed(line: Mapping[str, Any]) -> str:
    """Write a line as JSON whose last entry is the CRC-32 of the rest: a digit changed on the disk is seen."""
    text = json.dumps(line, allow_nan=False, separators=(",", ":"))
    return f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}'


def unsealed(text: str) -> Any:
    """Parse what sealed wrote, without the checksum; lines of earlier versions have none.

    Raises ValueError where the checksum does not fit, or for anything that is no JSON.
    """
    text = text.strip()
    found = SEAL.search(text)
    if found is None:
        return json.loads(text)
    body = text[: found.start()] + "}"
    _require(zlib.crc32(body.encode("utf-8", "surrogatepass")) == int(found[1], 16), "crc")
    return json.loads(body)


def checked(line: Mapping[str, Any]) -> dict[str, Any]:
    """Give a parsed line back with its values as numbers ("inf" becomes the float; None stays).

    A line of schema 1 becomes one of this schema. Raises ValueError, KeyError, TypeError or AttributeError for
    anything that is no finished cell.
    """
    for name in TEXTS:
        value = line[name] if name in NEEDED else line.get(name)
        _require(isinstance(value, str) or (value is None and name not in NEEDED), name)
    for name in NUMBERS:
        value = line.get(name)
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LARGEST
        _require(value is None or number, name)
    for name in FLAGS:
        _require(isinstance(line.get(name), (bool, type(None))), name)
    _require(0 < float(line["scale"]) < math.inf, "scale")
    _require(line["status"] in STATUSES, "status")
    words = split_dtype(line["dtype"]) if line.get("dtype") and line.get("schema") == 1 else {}
    values = {name: _entry(entry) for name, entry in line["values"].items()}
    return {**line, **words, "schema": SCHEMA, "values": values}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    _require(entry["status"] in STATUSES, "status of a value")
    for name in ("version", "error"):
        _require(isinstance(entry.get(name), (str, type(None))), name)
    value = entry.get("value")
    return {**entry, "value": None if value is None else float(value)}


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)

"""The journal: one checksummed line for each finished cell, and what it must hold before anything is computed.

Where cells were sealed into segments, its first line lists these.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rescale_bench.errors import StoreError
from rescale_bench.runs.schema import OF_CELL, SCHEMA, split_dtype
from rescale_bench.runs.segments import FOLDER, Sealed, listing, read_listing

NEEDED = ("cell", "protocol", "status", *(column.name for column in OF_CELL if column.default is None))
"""What every line has."""
STATUSES = ("ok", "failed", "undefined")
READABLE = (1, SCHEMA)
WITH_SEGMENTS = 3
"""Schema of a first line that lists segments: versions that cannot read them refuse the run."""
SEAL = re.compile(r',"crc":"([0-9a-f]{8})"}\Z')


def sealed(line: Mapping[str, Any]) -> str:
    """Write a line as JSON whose last entry is the CRC-32 of the rest: a digit changed on the disk is seen."""
    text = json.dumps(plain(line), allow_nan=False, separators=(",", ":"))
    return f'{text[:-1]},"crc":"{zlib.crc32(text.encode()):08x}"}}'


def unsealed(text: str) -> Any:
    """Parse what sealed wrote, without the checksum; lines of earlier versions have none.

    Raises ValueError where the checksum does not fit, or for anything that is no JSON.
    """
    text = text.strip()
    found = SEAL.search(text)
    if found is not None:
        body = text[: found.start()] + "}"
        _require(zlib.crc32(body.encode("utf-8", "surrogatepass")) == int(found[1], 16), "crc")
        text = body
    line = json.loads(text)
    if "\\u" in text:
        json.dumps(line, ensure_ascii=False).encode()  # half a character (\ud800) fits no table
    return line


def checked(line: Mapping[str, Any]) -> dict[str, Any]:
    """Give a parsed line back with its values as numbers ("inf" becomes the float; None stays).

    A line of schema 1 becomes one of this schema. Raises ValueError, KeyError, TypeError or AttributeError for
    anything that is no finished cell.
    """
    for column in OF_CELL:
        value = line.get(column.name)
        _require(column.fits(value) if value is not None else column.name not in NEEDED, column.name)
    _require(isinstance(line.get("error"), (str, type(None))), "error")
    _require(0 < float(line["scale"]) < math.inf, "scale")
    _require(line["status"] in STATUSES, "status")
    words = split_dtype(line["dtype"]) if line.get("dtype") and line.get("schema") == 1 else {}
    values = {name: _entry(entry) for name, entry in line["values"].items()}
    return {**line, **words, "schema": SCHEMA, "values": values}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    _require(entry["status"] in STATUSES, "status of a value")
    for name in ("version", "error", "note"):
        _require(isinstance(entry.get(name), (str, type(None))), name)
    value = entry.get("value")
    return {**entry, "value": None if value is None else float(value)}


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def repair(path: Path, notes: list[str]) -> None:
    """Cut off a last line that a kill or a full disk left half-written."""
    with path.open("rb+") as handle:
        content = handle.read()
        end = len(content)
        if content and not content.endswith(b"\n"):
            end = content.rfind(b"\n") + 1
            notes.append(f"{path}: the last line was half-written (a killed run); it is measured again")
            handle.truncate(end)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of finished cells, one at a time; a half-written last line is passed over.

    Raises StoreError naming the line when one in the middle is damaged.
    """
    for number, text in enumerate(_complete_lines(path), start=1):
        try:
            line = unsealed(text)
            schema = line["schema"]
            if number == 1 and schema == WITH_SEGMENTS and "segments" in line:
                continue
            # A later schema is refused before its fields are looked at.
            read = checked(line) if schema in READABLE else line
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise StoreError(_damage(path, number)) from None
        if schema not in READABLE:
            raise StoreError(f"{path} has schema {schema}, this version reads up to {SCHEMA}; use another -o")
        yield read


def listed_segments(path: Path) -> Sealed:
    """Read the segments that the first line of a journal lists; none where it is another line, or none.

    Raises StoreError where it is damaged.
    """
    text = next(_complete_lines(path), "")
    if '"segments"' not in text:
        return Sealed()
    try:
        line = unsealed(text)
        return read_listing(line) if line["schema"] == WITH_SEGMENTS else Sealed()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise StoreError(_damage(path, 1)) from None


def new_journal(listed: Sealed) -> str:
    """Write the text that a journal begins with once cells were sealed into segments."""
    return sealed({"schema": WITH_SEGMENTS, **listing(listed)}) + "\n"


def _damage(path: Path, number: int) -> str:
    kept = number == 1 and any((path.parent / FOLDER).glob("*.parquet"))
    lost = "what the segments hold is kept" if kept else "its cell is measured again"
    return f"{path}, line {number} is damaged; delete it ({lost}) and run once more"


def _complete_lines(path: Path) -> Iterator[str]:
    with path.open("rb") as handle:
        for raw in handle:
            if raw.endswith(b"\n") and raw.strip():
                yield raw.decode("utf-8", errors="replace")


def plain(value: Any) -> Any:
    """Make what JSON lacks into what it has: infinite floats become text ("inf"), NaN null, tuples lists."""
    if hasattr(value, "item"):  # a number of NumPy's
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value

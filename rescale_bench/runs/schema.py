"""The columns of a tidy row, each written once: every list of columns is derived from here.

A row is one metric of one cell. A new column is one entry of COLUMNS and the place that fills it; lines and files that
were written without it are read with its default.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from rescale_bench.api.metrics import ABOUT, Metric
from rescale_bench.api.specs import method_label

SCHEMA = 2
"""Version of a journal line and of a row. 1: batch and compile were words of the text in `dtype`."""

LARGEST = 2**53
"""No number of a cell is larger; beyond it tables cannot hold whole numbers."""

Type = Literal["text", "integer", "number", "flag"]
Role = Literal["key", "content", "measured", "metric"]


@dataclass(frozen=True)
class Column:
    """One column of the tidy table."""

    name: str
    type: Type
    """Also in Parquet: string, int64, double, bool."""
    role: Role
    """key: what was asked for; two rows compare where all keys are equal.
    content: what stood behind those names (hashes, versions); where it differs, equal keys mean different things.
    measured: what came of it, or is known of it. metric: what run.json says of the metric."""
    default: Any
    """What a file without the column, or a line without the entry, means. None: every file has it."""
    each: bool = False
    """Whether each metric of a cell has its own, rather than the cell."""
    title: str = ""
    """What people call it where it differs from the name."""
    since: int = 1
    """The schema that first had it. A later one enters a cell's key only where it is not the default, so that the keys
    of what was measured before stay."""
    variant: str = ""
    """Of a key that is part of how a method runs: how a value other than the default stands behind its name."""
    shown: bool = True
    """Whether any table, plot or comparison looks at it; what none looks at is for users of the file."""

    def fits(self, value: object) -> bool:
        """Tell whether a value is one of this column; numbers are positive and at most LARGEST."""
        if self.type == "text":
            return isinstance(value, str)
        if self.type == "flag" or isinstance(value, bool):
            return self.type == "flag" and isinstance(value, bool)
        return isinstance(value, (int, float)) and 0 <= value <= LARGEST


def _metric_columns() -> Iterator[Column]:
    """Give what a run keeps of each metric: the fields of its record that ABOUT names."""
    defaults = {field.name: field.default for field in fields(Metric)}
    types: dict[type, Type] = {str: "text", int: "integer", bool: "flag"}
    for name in ABOUT:
        default = "none" if defaults[name] is MISSING else defaults[name]
        yield Column(name, types[type(default)], "metric", default)


COLUMNS = (
    Column("schema", "integer", "measured", SCHEMA, shown=False),
    Column("cell", "text", "content", "", title="version of the method or codec"),
    Column("method", "text", "key", None),
    Column("options", "text", "key", ""),
    Column("weights", "text", "key", ""),
    Column("weights_sha256", "text", "content", "", title="weights file"),
    Column("dataset", "text", "key", None),
    Column("image", "text", "key", None),  # "" for a value of a whole data set
    Column("image_sha256", "text", "content", "", title="image file"),
    Column("scale", "text", "key", None),  # an exact decimal
    Column("codec", "text", "key", ""),
    Column("damage", "text", "key", "", since=2, variant="{}"),  # what a platform did to the LR file
    Column("protocol", "text", "key", ""),
    Column("protocol_version", "integer", "content", "", title="protocol version"),
    Column("seed", "integer", "key", 0),
    Column("tile", "text", "key", "", variant="tile {}"),
    Column("dtype", "text", "key", "float32", variant="{}"),
    Column("batch", "integer", "key", 1, since=2, variant="batch {}"),
    Column("compiled", "flag", "key", False, since=2, variant="compiled"),
    Column("origin", "text", "key", "run", since=2, variant="{}"),  # "files": made elsewhere, the seal does not hold
    Column("native", "flag", "measured", True),
    Column("ceiling", "flag", "measured", False),
    Column("metric", "text", "key", None, each=True),
    Column("metric_version", "text", "content", "", each=True, title="metric version"),
    *_metric_columns(),
    Column("value", "number", "measured", None, each=True),
    Column("status", "text", "measured", None, each=True),
    Column("error", "text", "measured", "", each=True),
    Column("note", "text", "measured", "", each=True),  # what a reader must know of the value, as a footnote says it
    Column("seconds", "number", "measured", math.nan, shown=False),
    Column("peak_mb", "number", "measured", math.nan, shown=False),
    Column("height", "integer", "measured", math.nan),
    Column("width", "integer", "measured", math.nan),
    Column("lr_height", "integer", "measured", math.nan),
    Column("lr_width", "integer", "measured", math.nan),
    Column("tiled", "integer", "measured", math.nan, shown=False),
)


def _names(*, role: Role) -> tuple[str, ...]:
    return tuple(column.name for column in COLUMNS if column.role == role)


NAMES = tuple(column.name for column in COLUMNS)
SHOWN = tuple(column.name for column in COLUMNS if column.shown)
KEY, CONTENT, METRIC = _names(role="key"), _names(role="content"), _names(role="metric")
OF_CELL = tuple(column for column in COLUMNS if column.role != "metric" and not column.each)
"""What stands once in a journal line."""
HASHED = tuple(c for c in OF_CELL if c.role in ("key", "content") and c.name != "cell")
"""What the key of a cell is a hash of, apart from the versions of method and codec."""
NEEDED = tuple(column.name for column in COLUMNS if column.default is None)
TEXTS = tuple(column.name for column in COLUMNS if column.type == "text")
NUMBERS = tuple(column.name for column in COLUMNS if column.type == "number")
DEFAULTS = {column.name: column.default for column in COLUMNS if column.default is not None}
TITLES = {column.name: column.title for column in COLUMNS if column.title}
VARIANTS = tuple(column for column in COLUMNS if column.variant)
LABEL = ("method", "options", "weights", *(column.name for column in VARIANTS))
"""What is named where tables and reports name a method."""
_FIRST = ("protocol", "dataset", "image", "scale", "codec", "method", "options", "weights", "seed")
ORDER = (*_FIRST, *(name for name in KEY if name not in _FIRST))
"""By which rows are sorted, scales as numbers."""


def cell_key(fields: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Hash everything that can move a number into 24 hexadecimal digits. Arguments as key_text takes them."""
    return hashed(key_text(fields, versions))


def hashed(text: str) -> str:
    """Hash what key_text wrote."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def key_text(fields: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Write everything that can move a number of a cell, as JSON in the order of the names.

    fields: values of HASHED; what is left out has its default. versions: of the method's and the codec's code.
    """
    values = {column.name: fields.get(column.name, column.default) for column in HASHED}
    # As schema 1 spelled it, so that its keys stay.
    batch, compiled = values.pop("batch"), values.pop("compiled")
    values["dtype"] += f"-batch{batch}" * (batch > 1) + "-compiled" * compiled
    content = {
        c.name: values[c.name] for c in HASHED if c.name in values and (c.since == 1 or values[c.name] != c.default)
    }
    return json.dumps(
        {**content, "versions": dict(versions)}, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )


def split_dtype(text: str) -> dict[str, Any]:
    """Read the dtype of schema 1 ("bf16-batch8-compiled") into the columns dtype, batch and compiled."""
    dtype, *words = text.split("-")
    batch = next((int(word.removeprefix("batch")) for word in words if word.startswith("batch")), 1)
    return {"dtype": dtype, "batch": batch, "compiled": "compiled" in words}


def row_label(values: Sequence[Any]) -> str:
    """Name a method with its options and weights, and how it ran where that is not as usual: "irn [small] {bf16}".

    values: of LABEL, in that order.
    """
    method, options, weights, *ways = map(plain_text, values)
    pairs = zip(VARIANTS, ways, strict=True)
    words = [column.variant.format(way) for column, way in pairs if way not in ("", plain_text(column.default))]
    return method_label(method, options, weights) + (f" {{{', '.join(words)}}}" if words else "")


def plain_text(value: Any) -> str:
    """Write a value as text that does not depend on how its file was read: 1 and 1.0 are "1", NaN and None are ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)

"""What stands around the numbers: protocols in full, environment, weights, failed cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.api.specs import publishable
from rescale_bench.datasets import split_variant
from rescale_bench.errors import RescaleBenchError
from rescale_bench.report.source import ReportSource

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry
    from rescale_bench.tables.model import Table

Pairs = tuple[tuple[str, str], ...]

HEADED = ("name", "version")
"""What the heading of a protocol says already."""
LABELS = {
    "summary": "In one line", "source": "Source", "plane": "Methods work on",
    "grey": "Grey images", "mod_crop": "HR cropped to multiples of", "reference": "Reference LR",
    "lr_rounding": "LR rounding", "sr_rounding": "Restored image rounding", "luma": "Luma (Y)",
    "border": "Border cut from HR scores", "ssim_edges": "SSIM window at edges",
    "lr_border": "Border cut from LR scores", "lr_scores": "LR scored as", "data_range": "Data range",
}  # fmt: skip
MEANINGS = {
    ("plane", "rgb"): "RGB", ("plane", "y"): "the Y plane alone",
    ("mod_crop", "scale"): "the scale where it is an integer (s); whole images at fractional scales",
    ("mod_crop", "none"): "nothing: whole images",
    ("lr_rounding", "round"): "to 8 bit, through a real file", ("lr_rounding", "none"): "none: float, no file",
    ("sr_rounding", "round"): "to 8 bit", ("sr_rounding", "truncate"): "truncated to 8 bit",
    ("sr_rounding", "none"): "none: clamped float",
    ("luma", "bt601"): "BT.601: (65.481 R + 128.553 G + 24.966 B) / 255 + 16, not rounded",
    ("luma", "bt601-rounded"): "BT.601: (65.481 R + 128.553 G + 24.966 B) / 255 + 16, rounded to 8 bit",
    ("luma", "car"): "(65.738 R + 129.057 G + 25.064 B) / 255 + 16",
    ("luma", "full"): "0.299 R + 0.587 G + 0.114 B",
    ("border", "scale"): "ceil(s) pixels", ("lr_border", "scale"): "ceil(s) pixels",
    ("ssim_edges", "valid"): "valid positions only", ("ssim_edges", "symmetric"): "mirrored edges",
    ("lr_scores", "8bit"): "8-bit pixels", ("lr_scores", "float"): "float, both LR unrounded",
}  # fmt: skip


@dataclass(frozen=True)
class ProtocolFacts:
    """One protocol of the run. warning: where this installation knows another version of it, or none."""

    name: str
    version: str
    switches: Pairs
    warning: str


@dataclass(frozen=True)
class Failure:
    """One cell that failed."""

    method: str
    dataset: str
    image: str
    scale: str
    codec: str
    protocol: str
    error: str


@dataclass(frozen=True)
class Coverage:
    """How much of the papers' tables there is. counts: by table. reasons: what cannot be run. notes: on the columns."""

    counts: Table
    reasons: Table
    notes: tuple[str, ...]


def protocols(rows: pd.DataFrame, registry: Registry) -> tuple[ProtocolFacts, ...]:
    """Spell out every protocol that the rows name."""
    pairs = rows[["protocol", "protocol_version"]].drop_duplicates().itertuples(index=False)
    return tuple(
        _protocol(str(row.protocol), str(row.protocol_version), registry) for row in cast(Iterator[Any], pairs)
    )


def _protocol(name: str, version: str, registry: Registry) -> ProtocolFacts:
    try:
        record = registry.choose_protocol(name)
    except RescaleBenchError:
        warning = (
            "No plugin of this installation knows this protocol; the plugin that measured the run holds its switches."
        )
        return ProtocolFacts(name, version, (), warning)
    values = {
        field.name: getattr(record, field.name) for field in dataclasses.fields(record) if field.name not in HEADED
    }
    pairs = tuple((LABELS.get(key, key), _meaning(key, value)) for key, value in values.items())
    warning = ""
    if version and version != str(record.version):
        warning = f"The run was measured with version {version}; what follows is version {record.version}."
    return ProtocolFacts(name, version, pairs, warning)


def _meaning(key: str, value: Any) -> str:
    text = str(value)
    if text.isdigit() and key in ("border", "lr_border", "mod_crop"):
        return f"{text} pixels" if text != "0" else "none"
    return MEANINGS.get((key, text), text)


def coverage(source: ReportSource, registry: Registry) -> Coverage | None:
    """Count, for the papers' tables that the run measured something of, what it did; and what cannot be run.

    None where it measured nothing of them, or the installation lacks them.
    """
    from rescale_bench.checks import COVERED, cover, coverage_table, read_published, reasons_table, shipped_tables

    try:
        covered = cover(read_published(shipped_tables()), registry, source.frame)
    except RescaleBenchError:
        return None
    touched = {(one.published.source, one.published.table) for one in covered if one.measured}
    shown = [one for one in covered if (one.published.source, one.published.table) in touched]
    return Coverage(coverage_table(shown, True), reasons_table(shown), COVERED) if shown else None


def environment(source: ReportSource) -> tuple[tuple[str, Pairs], ...]:
    """Lay env.json out as groups of pairs: the machine first, then what is nested in it."""
    plain: list[tuple[str, str]] = []
    nested: list[tuple[str, Pairs]] = []
    for key, value in source.run.environment.items():
        if key == "earlier":  # in full in env.json
            plain.append(("earlier environments of this run", str(len(value))))
        elif isinstance(value, Mapping):
            if value:
                nested.append((key, tuple((str(name), _text(one)) for name, one in value.items())))
        else:
            plain.append((key.replace("_", " "), _text(value)))
    return (("machine", tuple(plain)), *nested) if plain else tuple(nested)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return "–" if value is None else str(value)


def weights(rows: pd.DataFrame) -> tuple[tuple[str, str, str, bool], ...]:
    """List (method, tag, sha256, publishable) of all weights files that took part."""
    used = rows[rows["weights"] != ""][["method", "weights", "weights_sha256"]].drop_duplicates()
    found = cast(Iterator[Any], used.sort_values(["method", "weights"]).itertuples(index=False))
    return tuple((row.method, row.weights, str(row.weights_sha256), publishable(row.weights)) for row in found)


def failures(rows: pd.DataFrame) -> tuple[Failure, ...]:
    """List failed cells, each once, with the errors of its metrics."""
    keys = ["label", "dataset", "image", "scale", "codec", "protocol"]
    failed = rows[rows["status"] == "failed"]
    if failed.empty:
        return ()
    text = failed["error"] if "error" in failed else failed["status"]
    joined = failed.assign(error=text.fillna("").astype(str)).groupby(keys, sort=False)["error"].unique()
    return tuple(
        Failure(
            *cast(tuple[str, str, str, str, str, str], key),
            "; ".join(error for error in errors if error) or "no reason was stored",
        )
        for key, errors in joined.items()
    )


METHOD = ("In one line", "Paper", "Plugin", "Version", "Native scales", "Options", "Parameters", "Remarks")
"""What is said of a method; other entries of somebody's submission are not shown."""


def method_facts(name: str, registry: Registry) -> dict[str, str]:
    """Describe a method by the labels of METHOD; empty where no plugin knows it."""
    try:
        method = registry.method(name)
    except RescaleBenchError:
        return {}
    remarks = {
        "made by a name rule from other methods": method.traits.derived,
        "serves scales with models of other scales": method.traits.indirect,
        "an upper bound, no rescaler": method.traits.ceiling,
        "its upscaler draws random numbers": method.traits.draws,
        "computes outside of torch": method.traits.external,
    }
    found = {
        "In one line": method.summary,
        "Paper": method.citation,
        "Plugin": registry.origin("methods", name),
        "Version": method.version,
        "Native scales": str(method.scales),
        "Options": ", ".join(f"{option.name}={option.default}" for option in method.options),
        "Parameters": ", ".join(f"{part} {count:,}" for part, count in method.parameters.items()),
        "Remarks": "; ".join(text for text, holds in remarks.items() if holds),
    }
    return {label: text for label, text in found.items() if text}


def dataset_facts(name: str, registry: Registry) -> Pairs:
    """Describe a registered data set; nothing for a folder of somebody's own."""
    base, crop = split_variant(name) if "@" in name else (name, None)
    record = registry.datasets.get(base)
    if record is None:
        return ()
    pairs = (
        ("In one line", record.summary),
        ("Source", record.citation),
        ("Licence", record.licence),
        ("Images", str(record.count or "")),
        ("Cropped to multiples of", str(crop or "")),
    )
    return tuple(pair for pair in pairs if pair[1])

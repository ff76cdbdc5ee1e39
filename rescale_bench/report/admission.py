"""What may stand on a public leaderboard: rows of many runs without those that are damaged, contradict or cannot count.

Runs are taken in the order in which they are given. Of a measurement that two of them hold the first one counts; a
method of a later run whose value differs by more than the metric's tolerance is left out of that run as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rescale_bench.api.metrics import Tolerance, about
from rescale_bench.api.specs import publishable
from rescale_bench.datasets import without_variant
from rescale_bench.errors import RescaleBenchError, StoreError, UsageError
from rescale_bench.machine.printable import plural
from rescale_bench.runs.folder import Run
from rescale_bench.runs.schema import CONTENT, KEY, LABEL, row_label
from rescale_bench.runs.table import as_text, complete, plain_texts

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

MEASUREMENT = (*KEY, *(name for name in CONTENT if name != "cell"))
"""What makes two rows one measurement, whose values must agree."""
RULES = (
    "Every row names an image by the SHA-256 of its file, and weights by the SHA-256 of theirs.",
    "A registered data set (photos, Set5, …) holds the images that it is known for, and no others.",
    "The protocol and the metrics have the versions of the rescale-bench that builds the site.",
    "Weights were trained; a method has a version.",
    "Images made elsewhere (score) come with their LR files: without them nobody knows their size.",
    "Failed cells are left out; they can be measured again.",
    "Where two runs hold the same measurement, their values agree within the metric's tolerance.",
)
"""What is asked of rows, for people."""


@dataclass(frozen=True)
class Source:
    """One run that was taken, wholly or in part.

    name: what the site calls it. rows: how many of it count. methods: labels of the methods in them.
    """

    name: str
    run: Run
    rows: int
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Admitted:
    """The rows that count, with the name of their source in `source`; and a line for all that was left out."""

    rows: pd.DataFrame
    sources: tuple[Source, ...]
    refusals: tuple[str, ...]


def admit(paths: Sequence[Path], registry: Registry) -> Admitted:
    """Read runs and submissions, and leave out what cannot count. Raises UsageError where nothing is left."""
    import pandas as pd

    admitted: pd.DataFrame | None = None
    sources: list[Source] = []
    refusals: list[str] = []
    for name, path in _named(paths):
        run = Run(path)
        try:
            rows = measurements(run.rows())
        except StoreError as error:
            refusals.append(f"{name}: {error}")
            continue
        kept, lines = judge(rows, registry)
        refusals += [f"{name}: {line}" for line in lines]
        kept, more = _within(admitted, described(kept, registry), registry)
        refusals += [f"{name}: {line}" for line in more]
        if admitted is not None:
            kept, lines = _agreeing(admitted, kept)
            refusals += [f"{name}: {line}" for line in lines]
        if kept.empty:
            continue
        sources.append(Source(name, run, len(kept), tuple(sorted(set(kept["method_label"])))))
        admitted = pd.concat([one for one in (admitted, kept.assign(source=name)) if one is not None])
        admitted = admitted.drop_duplicates(list(MEASUREMENT), keep="first", ignore_index=True)
    if admitted is None:
        raise UsageError("no row may be published: " + "; ".join(refusals))
    return Admitted(admitted.drop(columns="method_label"), tuple(sources), tuple(refusals))


def judge(rows: pd.DataFrame, registry: Registry) -> tuple[pd.DataFrame, list[str]]:
    """Leave out rows that cannot count by themselves, or contradict each other, and say why, a line per reason.

    rows: as measurements gives them.
    """
    reasons = _reasons(rows, registry)
    lines = _lines(rows, reasons)
    kept = rows[reasons == ""]
    kept, more = _agreeing(kept, kept)
    return kept, lines + more


def _named(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name runs by their folder or file, two of one name by a number too; a folder that is no run by what it holds."""
    names: dict[str, int] = {}
    for given in paths:
        inside = sorted(given.iterdir()) if given.is_dir() and not Run(given).measured else []
        held = [path for path in inside if not path.name.startswith(".") and _may_be_run(path)]
        for path in held or [given]:
            name = Run(path).name.removesuffix(".gz").removesuffix(path.suffix if path.is_file() else "")
            name = name.removesuffix(".csv")
            names[name] = names.get(name, 0) + 1
            yield (f"{name} ({names[name]})" if names[name] > 1 else name), path


def _may_be_run(path: Path) -> bool:
    return Run(path).measured if path.is_dir() else path.name.endswith((".zip", ".csv", ".csv.gz", ".parquet"))


def measurements(frame: pd.DataFrame) -> pd.DataFrame:
    """Complete the columns, write what makes a measurement as text, and name the method of each row."""
    rows = plain_texts(complete(frame))
    rows = rows.assign(**{name: as_text(rows[name]) for name in (*MEASUREMENT, "cell")})
    names = rows[list(LABEL)].drop_duplicates()
    labels = names.assign(method_label=[row_label(values) for values in names.itertuples(index=False)])
    return rows.merge(labels, on=list(LABEL), how="left")


def described(rows: pd.DataFrame, registry: Registry) -> pd.DataFrame:
    """Let what is known here of a metric (direction, unit, tolerance, …) stand in place of what its row says."""
    for label in rows["metric"].unique():
        record = registry.metrics.get(label.partition(":")[0])
        if record is not None:
            mine = rows["metric"] == label
            for name, value in about(record, label).items():
                rows.loc[mine, name] = value
    return rows


def _within(admitted: pd.DataFrame | None, rows: pd.DataFrame, registry: Registry) -> tuple[pd.DataFrame, list[str]]:
    """Leave out the images of a registered data set that are more than it holds; those of earlier runs come first."""
    lines = []
    for name in rows["dataset"].unique():
        record = registry.datasets.get(without_variant(name))
        if record is None or record.count is None:
            continue
        before = [] if admitted is None else list(admitted.loc[admitted["dataset"] == name, "image"].unique())
        images = dict.fromkeys([*before, *rows.loc[rows["dataset"] == name, "image"].unique()])
        images.pop("", None)  # of a value of the whole data set
        if extra := list(images)[record.count :]:
            rows = rows[(rows["dataset"] != name) | ~rows["image"].isin(extra)]
            lines.append(f"{name}: more images than its {record.count}: {', '.join(extra[:3])} left out")
    return rows, lines


# --- single rows -----------------------------------------------------------------


def _reasons(rows: pd.DataFrame, registry: Registry) -> pd.Series[str]:
    """Say of each row why it cannot count, "" where it does. The first reason of a row is told."""
    import pandas as pd

    reasons = pd.Series("", index=rows.index, dtype=object)
    for wrong, text in _faults(rows, registry):
        mine = wrong & (reasons == "")
        reasons = reasons.where(~mine, text)
    return reasons


def _faults(rows: pd.DataFrame, registry: Registry) -> Iterator[tuple[Any, Any]]:
    """Give (rows it is true of, text or texts of the rows) of each fault."""
    yield rows["status"] == "failed", "failed"
    yield ~rows["status"].isin(("ok", "undefined", "failed")), "a status that nobody knows"
    yield (rows["status"] == "ok") & rows["value"].isna(), "no value"
    trained = {tag: publishable(tag) for tag in rows["weights"].unique()}
    yield ~rows["weights"].map(trained).astype(bool), "random weights, or code without a version"
    yield (rows["weights"] != "") & (rows["weights_sha256"] == ""), "weights without their SHA-256"
    readable = {text: _is_tolerance(text) for text in rows["tolerance"].unique()}
    yield ~rows["tolerance"].map(readable).astype(bool), "a tolerance that is not a number"
    yield (rows["origin"] != "run") & ~(rows["lr_height"].astype(float) > 0), "made elsewhere, without LR files"
    yield (rows["image"] != "") & (rows["image_sha256"] == ""), "an image without its SHA-256"
    for columns, told in ((("protocol", "protocol_version"), _protocol), (("metric", "metric_version"), _metric)):
        pairs = rows[list(columns)].drop_duplicates().itertuples(index=False)
        for name, version in cast("Iterator[tuple[str, str]]", pairs):
            text = told(name, version, registry)
            if text:
                yield (rows[columns[0]] == name) & (rows[columns[1]] == version), text
    yield from _strangers(rows, registry)


def _is_tolerance(text: str) -> bool:
    try:
        Tolerance.parse(text)
    except UsageError:
        return False
    return True


def _protocol(name: str, version: str, registry: Registry) -> str:
    try:
        known = str(registry.choose_protocol(name).version)
    except RescaleBenchError:
        return f"protocol {name}, which is not known here"
    return "" if version == known else f"protocol {name} version {version or 'unknown'}, where {known} is current"


def _metric(name: str, version: str, registry: Registry) -> str:
    record = registry.metrics.get(name.partition(":")[0])
    if record is None or version == record.version:
        return ""  # a metric of somebody's plugin stands under its own name
    return f"metric {name} version {version or 'unknown'}, where {record.version} is current"


def _strangers(rows: pd.DataFrame, registry: Registry) -> Iterator[tuple[Any, str]]:
    """Find the images that a registered data set on this machine does not hold."""
    from rescale_bench.runner.hashing import look_at_all

    for name in rows["dataset"].unique():
        base = without_variant(name)
        if base not in registry.datasets:
            continue
        try:
            files = registry.datasets[base].images()
        except RescaleBenchError:
            continue  # not on this machine
        hashes = look_at_all(file.path for file in files)
        known = {file.name: digest for file, (digest, _) in zip(files, hashes, strict=True)}
        wrong = rows["image"].map(known).fillna("") != rows["image_sha256"]
        yield (rows["dataset"] == name) & (rows["image"] != "") & wrong, f"an image that is not of {base}"


def _lines(rows: pd.DataFrame, reasons: pd.Series[str]) -> list[str]:
    """Write a line for each reason, with the methods that it is about."""
    left = rows.assign(reason=reasons)[reasons != ""]
    lines = []
    for reason, part in left.groupby("reason", sort=False):
        names = ", ".join(dict.fromkeys(part["method_label"]))
        lines.append(f"{names}: {reason} ({plural(len(part), 'row')} left out)")
    return lines


# --- agreement -------------------------------------------------------------------


def _agreeing(first: pd.DataFrame, later: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Leave the methods out of later rows that contradict earlier ones, or each other where both are the same.

    Images of one name and data set with another content contradict as well.
    """
    import numpy as np
    import pandas as pd

    known = first.drop_duplicates(list(MEASUREMENT), keep="first")
    both = later.merge(known[[*MEASUREMENT, "value"]], on=list(MEASUREMENT), how="left", suffixes=("", "_first"))
    repeatable = both["repeatable"].astype(str).str.lower().isin(("true", "1", "1.0"))
    mine, theirs = both["value"].to_numpy(float), both["value_first"].to_numpy(float)
    with np.errstate(invalid="ignore"):
        apart = np.abs(mine - theirs) > _allowed(both["tolerance"], theirs)
    bad = both[apart & repeatable.to_numpy()]
    lines = []
    for label, part in bad.groupby("method_label", sort=False):
        row = part.iloc[0]
        count = int((later["method_label"] == label).sum())
        lines.append(
            f"{label}: contradicts what was there before: {row['metric']} of {row['dataset']}/{row['image']} "
            f"×{row['scale']} is {row['value']:g}, there {row['value_first']:g} ({count} rows left out)"
        )
    kept = later[~later["method_label"].isin(bad["method_label"])]
    contents = known.drop_duplicates(["dataset", "image"]).set_index(["dataset", "image"])["image_sha256"]
    stated = contents.reindex(kept.set_index(["dataset", "image"]).index).to_numpy()
    known_content = pd.notna(stated)
    other = (kept["image"] != "").to_numpy() & known_content & (stated != kept["image_sha256"].to_numpy())
    for (dataset, image), part in kept[other].groupby(["dataset", "image"], sort=False):
        lines.append(f"{dataset}/{image}: another file than the one that was there before ({len(part)} rows left out)")
    return kept[~other], lines


def _allowed(tolerances: pd.Series[str], values: Any) -> Any:
    """Compute how far each value may be from an earlier one, as an array."""
    import numpy as np

    read = {text: Tolerance.parse(text) for text in tolerances.unique()}
    amount = tolerances.map({text: one.amount for text, one in read.items()}).to_numpy(float)
    relative = tolerances.map({text: one.relative for text, one in read.items()}).to_numpy(bool)
    return np.where(relative, amount * np.abs(np.where(np.isfinite(values), values, 0.0)), amount)

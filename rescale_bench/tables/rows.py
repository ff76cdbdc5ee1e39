"""The tidy rows of a run, made ready for averaging: defaults filled in, repeats dropped, methods labelled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rescale_bench.api.specs import method_label
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.metrics import described

if TYPE_CHECKING:
    import pandas as pd

DEFAULTS: dict[str, Any] = {
    "options": "", "weights": "", "weights_sha256": "", "codec": "", "protocol": "", "protocol_version": "",
    "seed": 0, "tile": "", "dtype": "", "native": True, "metric_version": "", "direction": "none", "unit": "",
    "image_sha256": "", "decimals": 3, "pool": "mean", "repeatable": True, "ceiling": False,
    "height": math.nan, "width": math.nan, "lr_height": math.nan, "lr_width": math.nan,
}  # fmt: skip
"""What stands in for a column that a hand-made table lacks."""
CELL = (
    "protocol", "protocol_version", "dataset", "codec", "scale", "method", "options", "weights", "weights_sha256",
    "tile", "dtype", "image", "seed", "metric", "metric_version",
)  # fmt: skip
TEXTS = ("protocol", "protocol_version", "dataset", "codec", "scale", "method", "options", "weights", "image", "metric")


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """Fill in missing columns, keep the latest of repeated cells, and add `label`.

    A label is made longer by another type than float32 ("irn {bf16}"), and where two rows would share one: by the
    digest of the weights, the tile. An image whose file changed between two methods is two images.
    Raises UsageError when there is no row.
    """
    if frame.empty:
        raise UsageError("there is nothing to tabulate: the run holds no rows")
    rows = described(frame.assign(**{name: value for name, value in DEFAULTS.items() if name not in frame.columns}))
    for name in (
        *CELL,
        "direction",
        "unit",
        "decimals",
        "pool",
        "repeatable",
        "height",
        "width",
        "lr_height",
        "lr_width",
    ):
        gaps = rows[name].isna()
        if gaps.any():
            rows[name] = rows[name].astype(object).where(~gaps, DEFAULTS.get(name, ""))
    rows = rows.astype(dict.fromkeys(TEXTS, str))
    rows = rows.drop_duplicates(list(CELL), keep="last")
    rows["image"] = _one_content(rows)
    rows["metric"] = _versioned(rows)
    keys = zip(rows["method"], rows["options"], rows["weights"], strict=True)
    names = {key: method_label(*key) for key in set(keys)}
    rows["label"] = [names[key] for key in zip(rows["method"], rows["options"], rows["weights"], strict=True)]
    other = rows["dtype"].astype(str)
    rows["label"] = rows["label"].where(other.isin(("", "float32")), rows["label"] + " {" + other + "}")
    for column in ("weights_sha256", "tile"):
        rows["label"] = _told_apart(rows, column)
    return rows


def _one_content(rows: pd.DataFrame) -> pd.Series[str]:
    """Name images of one name and several contents apart: methods are compared on identical images only."""
    contents = rows["image_sha256"].fillna("").astype(str)
    known = rows.assign(content=contents.where(contents != ""))
    several = known.groupby(["dataset", "image"])["content"].transform("nunique") > 1
    return rows["image"].where(~several, rows["image"] + " {" + contents.str[:8] + "}")


def _versioned(rows: pd.DataFrame) -> pd.Series[str]:
    """Give two implementations of one metric two columns: they are not the same number."""
    several = rows.groupby("metric")["metric_version"].transform("nunique") > 1
    return rows["metric"].where(~several, rows["metric"] + " (" + rows["metric_version"].astype(str) + ")")


def _told_apart(rows: pd.DataFrame, column: str) -> pd.Series[str]:
    where = ["protocol", "protocol_version", "dataset", "codec", "scale", "label"]
    texts = rows[column].astype(str)
    clash = rows.assign(**{column: texts}).groupby(where)[column].transform("nunique") > 1
    labels = set(rows.loc[clash, "label"])
    short = texts.str[:8] if column == "weights_sha256" else texts.where(texts != "", "whole")
    return rows["label"].where(~rows["label"].isin(labels), rows["label"] + " {" + short + "}")


def choose_metrics(rows: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    """List the metrics to show: those wanted, in that order, or all in the usual order.

    A wanted `piqe_lr` also finds `piqe_lr:channels=bgr`. Raises UnknownNameError for what the run lacks.
    """
    order = rows.drop_duplicates("metric").set_index("metric")["order"]
    known = sorted(order.index, key=lambda name: (int(order[name]), name))
    if wanted is None:
        return known
    found: list[str] = []
    for name in wanted:
        matches = [metric for metric in known if name in (metric, base_name(metric), metric.partition(" (")[0])]
        if not matches:
            raise UnknownNameError("metric of this run", name, known)
        found.extend(metric for metric in matches if metric not in found)
    return found


def base_name(metric: str) -> str:
    """Cut options and version off a metric's name: "piqe_lr:channels=bgr" is "piqe_lr"."""
    return metric.partition(" (")[0].partition(":")[0]

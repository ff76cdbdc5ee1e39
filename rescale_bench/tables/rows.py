"""The tidy rows of a run, made ready for averaging: defaults filled in, repeats dropped, methods labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.runs.schema import CONTENT, DEFAULTS, KEY, LABEL, row_label
from rescale_bench.runs.sets import image_sets
from rescale_bench.runs.table import as_text, complete

if TYPE_CHECKING:
    import pandas as pd

CELL = (*KEY, *(name for name in CONTENT if name not in ("cell", "image_sha256")))
"""What makes two rows one measurement, of which the later counts."""
TEXT = (*KEY, *CONTENT)
"""Columns that tables group by: as text, however a file was read."""


def prepare(frame: pd.DataFrame, sets: bool = False) -> pd.DataFrame:
    """Fill in missing columns, keep the latest of repeated cells, and add `label`.

    A label is made longer by how the method ran where that is not as usual ("irn {bf16}"), and where two rows would
    share one by the digest of the weights. An image whose file changed between two methods is two images.
    sets: keep the rows of whole data sets (image ""), with the images they are of in `members`, and all of the data
    set in `images`; those of other cells than the table holds, or of only some seeds, are left out.
    Raises UsageError when there is no row.
    """
    import pandas as pd

    if frame.empty:
        raise UsageError("there is nothing to tabulate: the run holds no rows")
    rows = complete(frame)
    rows = rows.assign(**{name: as_text(rows[name]) for name in TEXT})
    for name, default in DEFAULTS.items():
        if name not in TEXT and (gaps := rows[name].isna()).any():
            rows[name] = rows[name].astype(object).where(~gaps, default)
    members = _members(rows) if sets and (rows["image"] == "").any() else {}
    rows = rows[(rows["image"] != "") | rows["cell"].isin(members)]
    rows = rows.drop_duplicates(list(CELL), keep="last")
    rows["image"] = _one_content(rows)
    rows["metric"] = _versioned(rows)
    groups = rows.groupby(list(LABEL), sort=False)
    first = rows.loc[~rows.duplicated(list(LABEL)), list(LABEL)]
    labels = pd.Series([row_label(values) for values in first.itertuples(index=False)], dtype=str)
    rows["label"] = labels.take(groups.ngroup().to_numpy()).set_axis(rows.index)
    rows["label"] = _told_apart(rows)
    return _with_members(rows, members) if members else rows


def _members(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """List the cells of each set, by its digest: cell → image."""
    image_of = dict(zip(rows["cell"], rows["image"], strict=True))
    return {one.digest: {cell: image_of[cell] for cell in one.cells} for one in image_sets(rows)}


def _with_members(rows: pd.DataFrame, cells: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Add what each row of a whole data set is of, and drop it where other seeds have none. cells: see _members."""
    import pandas as pd

    place = ["protocol", "protocol_version", "dataset", "codec", "scale"]
    of_images = rows[rows["image"] != ""]
    image_of = dict(zip(of_images["cell"], of_images["image"], strict=True))
    images = of_images.groupby(place)["image"].agg(frozenset)
    seeds = of_images.groupby([*place, "label"])["seed"].nunique()
    of_sets = rows[rows["image"] == ""]
    # An image whose file changed has a longer name by now.
    members = {name: tuple(image_of.get(*pair) for pair in pairs.items()) for name, pairs in cells.items()}
    of_sets = of_sets.assign(
        members=of_sets["cell"].map(members),
        images=[images[key] for key in of_sets[place].itertuples(index=False, name=None)],
    )
    keys = [*place, "label", "metric"]
    measured = of_sets.groupby(keys)["seed"].transform("nunique")
    wanted = [seeds[key] for key in of_sets[[*place, "label"]].itertuples(index=False, name=None)]
    return pd.concat([of_images, of_sets[measured == wanted]])


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


def _told_apart(rows: pd.DataFrame) -> pd.Series[str]:
    """Add the digest of the weights to labels that would otherwise be shared by several."""
    where = ["protocol", "protocol_version", "dataset", "codec", "scale", "label"]
    labels = set(rows.loc[rows.groupby(where)["weights_sha256"].transform("nunique") > 1, "label"])
    return rows["label"].where(~rows["label"].isin(labels), rows["label"] + " {" + rows["weights_sha256"].str[:8] + "}")


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

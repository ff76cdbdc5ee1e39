"""The tidy rows of a run, made ready for averaging: defaults filled in, repeats dropped, methods labelled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.runs.columns import combined
from rescale_bench.runs.schema import CONTENT, DEFAULTS, KEY, LABEL, ORDER, SHOWN, row_label
from rescale_bench.runs.sets import image_sets
from rescale_bench.runs.table import as_text, complete

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CELL = (*ORDER, *(name for name in CONTENT if name not in ("cell", "image_sha256")))
"""What makes two rows one measurement, of which the later counts."""
GROUP = ("protocol", "protocol_version", "dataset", "codec", "scale")
"""What rows share that are compared with one another."""
TEXT = (*KEY, *CONTENT)
"""Columns that tables group by: categories of texts, however a file was read."""
KIND = tuple(name for name in TEXT if name not in ("cell", "image", "image_sha256"))
"""Those of them that do not name an image."""


def prepare(frame: pd.DataFrame, sets: bool = False) -> pd.DataFrame:
    """Fill in missing columns, keep the latest of repeated cells, and add `label`.

    A label is made longer by how the method ran where that is not as usual ("irn {bf16}"), and where two rows would
    share one by the digest of the weights. An image whose file changed between two methods is two images.
    sets: keep the rows of whole data sets (image ""), with the images they are of in `members`, and all of the data
    set in `images`; those of other cells than the table holds, or of only some seeds, are left out.
    Raises UsageError when there is no row.
    """
    import numpy as np
    import pandas as pd

    if frame.empty:
        raise UsageError("there is nothing to tabulate: the run holds no rows")
    rows = complete(frame, SHOWN)
    rows = rows.assign(**{name: as_text(rows[name]) for name in TEXT})
    for name, default in DEFAULTS.items():
        if name in SHOWN and name not in TEXT and (gaps := rows[name].isna()).any():
            rows[name] = rows[name].astype(object).where(~gaps, default)
    of_sets = rows["image"] == ""
    members = {}
    if of_sets.any():
        members = _members(rows) if sets else {}
        rows = rows[~of_sets | rows["cell"].isin(members)]
    measurements = group_codes(rows, CELL)
    # Rows of a run come in order; only others need sorting to see whether any stands twice.
    if not (np.diff(measurements) > 0).all() and (np.diff(np.sort(measurements)) == 0).any():
        rows = rows[~pd.Series(measurements).duplicated(keep="last").to_numpy()]
    rows[["image"]] = _derived(rows, ("dataset", "image", "image_sha256"), lambda table: {"image": _one_content(table)})
    rows[["metric", "label"]] = _derived(rows, KIND, _named)
    return _with_members(rows, members) if members else rows


def group_codes(rows: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Give rows numbers by what several columns hold: equal where all are; (n,) of int64."""
    import pandas as pd

    def parts() -> Iterator[tuple[np.ndarray, int]]:
        for name in names:
            if isinstance(rows[name].dtype, pd.CategoricalDtype):
                yield rows[name].cat.codes.to_numpy(), len(rows[name].cat.categories)
            else:
                codes, values = pd.factorize(rows[name])
                yield codes, len(values)

    return combined(parts(), len(rows))


def distinct(rows: pd.DataFrame, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Find the different combinations of columns: which one each row holds, and where each stands first."""
    import numpy as np
    import pandas as pd

    places, values = pd.factorize(group_codes(rows, names))
    first = np.empty(len(values), dtype=np.int64)
    first[places[::-1]] = np.arange(len(rows))[::-1]  # of several NumPy keeps the last, which is the first row
    return places, first


def _derived(
    rows: pd.DataFrame, names: Sequence[str], make: Callable[[pd.DataFrame], Mapping[str, Iterable[str]]]
) -> pd.DataFrame:
    """Make columns of texts from others, once for each combination of them. make: of a table of the combinations."""
    import pandas as pd

    places, first = distinct(rows, names)
    made = {}
    for name, texts in make(rows[list(names)].iloc[first].astype(object)).items():
        column = pd.Categorical(list(texts))
        made[name] = pd.Categorical.from_codes(column.codes[places], dtype=column.dtype)
    return pd.DataFrame(made, index=rows.index, copy=False)


def _named(table: pd.DataFrame) -> dict[str, pd.Series[str]]:
    """Name metrics and methods; where two would share a label, by the digest of their weights."""
    ways = list(table[list(LABEL)].itertuples(index=False, name=None))
    labels = {way: row_label(way) for way in set(ways)}
    return {"metric": _versioned(table), "label": _told_apart(table.assign(label=[labels[way] for way in ways]))}


def _members(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """List the cells of each set, by its digest: cell → image."""
    image_of = dict(zip(rows["cell"], rows["image"], strict=True))
    return {one.digest: {cell: image_of[cell] for cell in one.cells} for one in image_sets(rows)}


def _with_members(rows: pd.DataFrame, cells: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Add what each row of a whole data set is of, and drop it where other seeds have none. cells: see _members."""
    import pandas as pd

    place = list(GROUP)
    of_images = rows[rows["image"] != ""]
    image_of = dict(zip(of_images["cell"], of_images["image"], strict=True))
    images = of_images.groupby(place, observed=True)["image"].agg(frozenset)
    seeds = of_images.groupby([*place, "label"], observed=True)["seed"].nunique()
    of_sets = rows[rows["image"] == ""]
    # An image whose file changed has a longer name by now.
    members = {name: tuple(image_of.get(*pair) for pair in pairs.items()) for name, pairs in cells.items()}
    of_sets = of_sets.assign(
        members=of_sets["cell"].astype(object).map(members),
        images=[images[key] for key in of_sets[place].itertuples(index=False, name=None)],
    )
    keys = [*place, "label", "metric"]
    measured = of_sets.groupby(keys, observed=True)["seed"].transform("nunique")
    wanted = [seeds[key] for key in of_sets[[*place, "label"]].itertuples(index=False, name=None)]
    return pd.concat([of_images, of_sets[measured == wanted]])


def _one_content(table: pd.DataFrame) -> pd.Series[str]:
    """Name images of one name and several contents apart: methods are compared on identical images only."""
    contents = table["image_sha256"]
    known = table.assign(content=contents.where(contents != ""))
    several = known.groupby(["dataset", "image"])["content"].transform("nunique") > 1
    return table["image"].where(~several, table["image"] + " {" + contents.str[:8] + "}")


def _versioned(table: pd.DataFrame) -> pd.Series[str]:
    """Give two implementations of one metric two columns: they are not the same number."""
    several = table.groupby("metric")["metric_version"].transform("nunique") > 1
    return table["metric"].where(~several, table["metric"] + " (" + table["metric_version"] + ")")


def _told_apart(table: pd.DataFrame) -> pd.Series[str]:
    """Add the digest of the weights to labels that would otherwise be shared by several."""
    several = table.groupby([*GROUP, "label"])["weights_sha256"].transform("nunique") > 1
    shared = table["label"].isin(set(table.loc[several, "label"]))
    return table["label"].where(~shared, table["label"] + " {" + table["weights_sha256"].str[:8] + "}")


def choose_metrics(rows: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    """List the metrics to show: those wanted, in that order, or all in the usual order.

    A wanted `piqe_lr` also finds `piqe_lr:channels=bgr`. Raises UnknownNameError for what the run lacks.
    """
    order = rows[["metric", "order"]].iloc[distinct(rows, ["metric"])[1]].set_index("metric")["order"]
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

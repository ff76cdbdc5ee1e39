"""Finished cells as columns: one row of an Arrow table for each cell.

The columns are those of a cell (schema.OF_CELL), `status` and `error` of its journal line, `more` with what else the
line says (JSON), and two for each metric: `value LABEL`, and `entry LABEL` with the rest of its entry (JSON). Texts
are dictionaries: what repeats stands once, and reading makes no Python object for each cell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from rescale_bench.runs.schema import OF_CELL

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

VALUE, ENTRY = "value ", "entry "
"""Before the label of a metric: the names of its two columns."""
TEXTS = (*(column.name for column in OF_CELL if column.type == "text" and column.name != "cell"), "status", "error")
CHUNK = 5_000
"""Lines that are parsed before they become columns."""
SETTLED = ("ok", "undefined")
"""Statuses of a value that is not measured again."""


def tabled(lines: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Lay journal lines (as journal.checked gives them) out as columns, one row each; a cell may have several."""
    rest = iter(lines)
    return joined([_laid_out(chunk) for chunk in iter(lambda: list(islice(rest, CHUNK)), [])])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Put tables of cells below each other; a metric that one of them lacks has no entries there."""
    import pyarrow as pa

    tables = [table for table in tables if table.num_rows] or [_laid_out([])]
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()


def _laid_out(lines: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for column in OF_CELL:
        values = [line.get(column.name) for line in lines]
        if column.type == "text":
            columns[column.name] = pa.array(values, pa.string())
        elif column.type == "flag":
            columns[column.name] = pa.array(values, pa.bool_())
        else:
            whole = column.type == "integer" and all(value is None or isinstance(value, int) for value in values)
            columns[column.name] = pa.array(values, pa.int64() if whole else pa.float64())
    for name in ("status", "error"):
        columns[name] = pa.array([line.get(name) for line in lines], pa.string())
    known = {*columns, "values", "crc"}
    more = [{name: value for name, value in line.items() if name not in known} for line in lines]
    columns["more"] = pa.array([_json(each) if each else None for each in more], pa.string())
    texts: dict[str, str] = {}
    for label in dict.fromkeys(label for line in lines for label in line["values"]):
        entries = [line["values"].get(label) for line in lines]
        columns[VALUE + label] = pa.array([entry and entry.get("value") for entry in entries], pa.float64())
        columns[ENTRY + label] = pa.array([_rest(entry, texts) if entry else None for entry in entries], pa.string())
    names = [name for name in columns if name in (*TEXTS, "more") or name.startswith(ENTRY)]
    return pa.table({**columns, **{name: columns[name].dictionary_encode() for name in names}})


def _rest(entry: Mapping[str, Any], texts: dict[str, str]) -> str:
    """Write an entry without its value; texts: those written before."""
    said = {name: text for name, text in entry.items() if name != "value" and text is not None}
    known = repr(said)
    if known not in texts:
        texts[known] = _json(said)
    return texts[known]


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":"))


def lines_of(cells: pa.Table) -> Iterator[dict[str, Any]]:
    """Write cells as journal lines again, one at a time."""
    labels = metrics_of(cells)
    for part in cells.to_batches(max_chunksize=CHUNK):
        for row in part.to_pylist():
            values = {
                label: {**json.loads(row[ENTRY + label]), "value": row[VALUE + label]}
                for label in labels
                if row[ENTRY + label] is not None
            }
            said = {name: value for name, value in row.items() if value is not None and not _of_metric(name)}
            more = json.loads(said.pop("more", "{}"))
            yield {**said, **more, "values": values}


def metrics_of(cells: pa.Table) -> list[str]:
    """List the labels of the metrics, in the order of their first cell."""
    return [name.removeprefix(ENTRY) for name in cells.column_names if name.startswith(ENTRY)]


def _of_metric(name: str) -> bool:
    return name.startswith((VALUE, ENTRY))


def settled(cells: pa.Table) -> pa.Table:
    """Make one row of each cell: the latest line wins, value by value; a failure wipes nothing measured.

    Cells stay in the order in which they first appear.
    """
    import numpy as np
    import pyarrow as pa

    keys = cells["cell"].combine_chunks().dictionary_encode()
    owner, count = keys.indices.to_numpy(), len(keys.dictionary)
    if count == cells.num_rows:
        return cells
    failed = status_is(cells, ("failed",))
    measured = np.zeros(count, dtype=bool)
    measured[owner[~failed]] = True
    last = _latest(owner, np.ones(len(owner), dtype=bool), count)
    counts = ~failed | (~measured[owner] & (last[owner] == np.arange(len(owner))))
    columns = {}
    for name in cells.column_names:
        if name.startswith(VALUE):
            continue
        column = cells[name].combine_chunks()
        rows = _latest(owner, counts & column.is_valid().to_numpy(zero_copy_only=False), count)
        place = pa.array(rows, mask=rows < 0)
        if name.startswith(ENTRY):  # a value belongs to its entry, also where it is null
            label = name.removeprefix(ENTRY)
            columns[VALUE + label] = cells[VALUE + label].combine_chunks().take(place)
        columns[name] = column.take(place)
    return pa.table(columns)


def _latest(owner: np.ndarray, counts: np.ndarray, count: int) -> np.ndarray:
    """Give the last row of each cell among those that count, −1 where there is none."""
    import numpy as np

    rows = np.full(count, -1)
    rows[owner[counts]] = np.flatnonzero(counts)  # of several rows of one cell NumPy keeps the last
    return rows


def status_is(cells: pa.Table, statuses: Sequence[str]) -> np.ndarray:
    """Tell for each cell whether its own status is one of these; returns (n,) of bool."""
    return matching(cells["status"], lambda text: text in statuses)


def entry_is(cells: pa.Table, label: str, statuses: Sequence[str]) -> np.ndarray:
    """Tell for each cell whether it has an entry of a metric with one of these statuses; returns (n,) of bool."""
    return matching(cells[ENTRY + label], lambda text: json.loads(text)["status"] in statuses)


def with_more(cells: pa.Table, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> pa.Table:
    """Change what lines say beside the columns; change is called once for each different content."""
    import pyarrow as pa

    codes, texts = coded(cells["more"])
    changed = [_json(change(json.loads(text))) for text in (*texts, "{}")]
    column = pa.DictionaryArray.from_arrays(codes % len(changed), pa.array(changed))
    return cells.set_column(cells.column_names.index("more"), "more", column)


def matching(column: pa.ChunkedArray, holds: Any) -> np.ndarray:
    """Ask something of a column of texts, once for each different one; null holds nothing. Returns (n,) of bool."""
    import numpy as np

    codes, texts = coded(column)
    held: np.ndarray = np.array([*(bool(holds(text)) for text in texts), False])[codes]
    return held


def coded(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    """Give a column of texts as places in a sorted list, which may hold unused ones; −1 for null."""
    import numpy as np
    import pyarrow as pa

    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    texts = array.dictionary.to_pylist()
    order = sorted(range(len(texts)), key=texts.__getitem__)
    place = np.empty(len(texts) + 1, dtype=np.int32)
    place[order], place[-1] = np.arange(len(texts)), -1
    return place[array.indices.fill_null(-1).to_numpy()], [texts[index] for index in order]


def combined(parts: Iterable[tuple[np.ndarray, int]], count: int) -> np.ndarray:
    """Make one number of several codes of each row, equal where all are; the first code decides the order.

    parts: (codes of the rows, −1 for none; how many there are). count: of the rows. Returns (count,) of whole numbers.
    """
    import numpy as np

    total: np.ndarray = np.zeros(count, dtype=np.int32)
    room = 1
    for codes, size in parts:
        if size == 1 and (codes == 0).all():
            continue
        if room * (size + 1) >= 2**62:
            values, total = np.unique(total, return_inverse=True)
            room = len(values)
        if room * (size + 1) >= 2**31:
            total = total.astype(np.int64, copy=False)
        total *= size + 1
        total += codes
        total += 1
        room *= size + 1
    return total


def complete_keys(cells: pa.Table, versions: Mapping[str, str]) -> set[str]:
    """Give the keys of the cells that lack nothing: every metric has a settled entry of its version.

    versions: of the metrics, by label.
    """
    import pyarrow as pa

    whole = ~status_is(cells, ("failed",))
    for label, version in versions.items():
        if ENTRY + label not in cells.column_names:
            return set()

        def current(text: str, version: str = version) -> bool:
            entry = json.loads(text)
            return entry["status"] in SETTLED and entry.get("version") == version

        whole &= matching(cells[ENTRY + label], current)
    return set(cells["cell"].filter(pa.array(whole)).to_pylist())

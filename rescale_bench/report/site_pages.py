"""What the pages of the site say: of each method, each data set and each run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from rescale_bench.report.facts import METHOD, dataset_facts, method_facts
from rescale_bench.report.site_claims import claims_about
from rescale_bench.report.site_tables import method_tables, primary
from rescale_bench.tables.model import MISSING, Row, Table, TableCell, TableColumn, number_cell
from rescale_bench.tables.notes import footnotes
from rescale_bench.tables.scores import reference_of

if TYPE_CHECKING:
    from rescale_bench.report.admission import Source
    from rescale_bench.report.site import Content

Context = dict[str, Any]
TEXT = 500
"""Characters of one text of a submission that are shown."""


def method_list(content: Content) -> Context:
    """List the methods: what each is, where it was measured, how often it is best."""
    wins: dict[str, int] = {}
    for (_, label), (place, of) in content.places.items():
        wins[content.own[label]] = wins.get(content.own[label], 0) + (place == 1 and of > 1)
    columns = (
        TableColumn("method", "text"), TableColumn("what it is", "text"), TableColumn("data sets"),
        TableColumn("first places"), TableColumn("runs"),
    )  # fmt: skip
    rows = []
    for name in content.methods.names:
        mine = content.rows_of[name]
        sets, runs = mine["dataset"].nunique(), mine["source"].nunique()
        what = _described(content, name).get("In one line", MISSING)
        counts = (TableCell(str(count), count) for count in (sets, wins.get(name, 0), runs))
        rows.append(Row((TableCell(name), TableCell(what), *counts), name))
    links = {name: content.methods.link(name) for name in content.methods.names}
    return {"table": Table("", columns, tuple(rows)), "links": links}


def dataset_list(content: Content) -> Context:
    """List the data sets."""
    columns = (
        TableColumn("data set", "text"), TableColumn("what it is", "text"), TableColumn("images"),
        TableColumn("methods"), TableColumn("scales"),
    )  # fmt: skip
    by_set = dict(list(content.admitted.rows.groupby("dataset")))
    rows = []
    for name in content.datasets.names:
        mine = by_set[name]
        what = dict(dataset_facts(name, content.registry)).get("In one line", "images of somebody’s own")
        counts = (mine.loc[mine["image"] != "", "image"], mine["method"], mine["scale"])
        cells = (TableCell(str(of.nunique()), of.nunique()) for of in counts)
        rows.append(Row((TableCell(name), TableCell(what), *cells), name))
    links = {name: content.datasets.link(name) for name in content.datasets.names}
    return {"table": Table("", columns, tuple(rows)), "links": links}


def method_page(content: Content, method: str) -> Context:
    """Say all about one method."""
    mine, rows = content.of_method[method], content.rows_of[method]
    runs = [
        (name, _anchor(number)) for number, name in enumerate(_source_names(content)) if name in set(rows["source"])
    ]
    return {
        "facts": tuple(_described(content, method).items()),
        "weights": list(_weights(rows)),
        "metric": primary(content.scores),
        "tables": method_tables(mine, content.metrics, content.places),
        "notes": footnotes(mine, ranked=False),
        "against": _comparison(content, {score.label for score in mine}),
        "claims": list(claims_about(content.judged, method)),
        "sources": runs,
    }


def dataset_page(content: Content, dataset: str) -> Context:
    """Say all about one data set."""
    rows = content.admitted.rows
    rows = rows[(rows["dataset"] == dataset) & (rows["image"] != "")]
    known = rows.drop_duplicates("image")[["image", "width", "height", "image_sha256"]].sort_values("image")
    columns = (
        TableColumn("image", "text"), TableColumn("width"), TableColumn("height"), TableColumn("SHA-256", "text"),
    )  # fmt: skip
    images = [
        Row((
            TableCell(str(one.image)), number_cell(float(one.width), 0), number_cell(float(one.height), 0),
            TableCell(str(one.image_sha256)),
        ))
        for one in cast(Iterator[Any], known.itertuples(index=False))
    ]  # fmt: skip
    return {
        "facts": dataset_facts(dataset, content.registry),
        "boards": [board for board in content.boards if board.setting.dataset == dataset],
        "images": Table("", columns, tuple(images)),
    }


def source_list(content: Content) -> list[Context]:
    """Describe the runs that were taken."""
    return [
        {"name": source.name, "rows": source.rows, "anchor": _anchor(number), "history": source.run.history,
         "facts": tuple(_source_facts(source))}
        for number, source in enumerate(content.admitted.sources)
    ]  # fmt: skip


def _source_names(content: Content) -> list[str]:
    return [source.name for source in content.admitted.sources]


def _anchor(number: int) -> str:
    return f"run-{number + 1}"


def _source_facts(source: Source) -> Iterator[tuple[str, str]]:
    yield "Methods", ", ".join(source.methods)
    environment = source.run.environment
    packages = environment.get("packages")
    versions = packages if isinstance(packages, Mapping) else {}
    cards = environment.get("gpus")
    commit, plus, changes = str(environment.get("commit") or "").partition("+")
    said = {
        "Processor": environment.get("cpu"),
        "Graphics card": ", ".join(map(str, cards)) if isinstance(cards, list) else "",
        "Python": environment.get("python"),
        "torch": versions.get("torch"),
        "rescale-bench": versions.get("rescale-bench"),
        "Commit": f"{commit[:12]}{plus}{changes}",
    }
    yield from ((name, str(value)[:TEXT]) for name, value in said.items() if value)


def _described(content: Content, method: str) -> dict[str, str]:
    """Describe a method by its plugin here, else by the first submission that describes it."""
    if facts := method_facts(method, content.registry):
        return facts
    for source in content.admitted.sources:
        methods = source.run.card.get("methods")
        said = methods.get(method) if isinstance(methods, Mapping) else None
        if isinstance(said, Mapping):
            texts = {label: str(said[label])[:TEXT] for label in METHOD if said.get(label)}
            return {**texts, "Described by": f"the submission {source.name}"}
    if (content.rows_of[method]["origin"] == "files").all():
        return {"In one line": "images made elsewhere; that the upscaler saw the LR file alone is their makers’ word"}
    return {}


def _weights(rows: Any) -> Iterator[tuple[str, str, str]]:
    used = rows[rows["weights"] != ""][["weights", "weights_sha256", "scale"]].drop_duplicates()
    for (tag, sha256), part in used.groupby(["weights", "weights_sha256"], sort=True):
        scales = sorted(part["scale"], key=float)
        shown = scales if len(scales) < 8 else [scales[0], "…", scales[-1]]
        yield str(tag), ", ".join(f"×{scale}".replace("×…", "…") for scale in shown), str(sha256)


def _comparison(content: Content, labels: set[str]) -> str:
    """Give the address of the comparison with the reference, or with another method; "" without any."""
    for board in content.boards:
        there = content.labels_in.get(board.setting, [])
        mine, others = [one for one in there if one in labels], [one for one in there if one not in labels]
        if mine and others:
            other = reference_of(set(others), content.look.reference) or others[0]
            return f"compare.html#{board.address}&{urlencode({'a': mine[0], 'b': other})}"
    return ""

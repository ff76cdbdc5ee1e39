"""A static site from the rows of many runs: leaderboards, a page per method and per data set, comparison, sources.

All pages lie in one folder and name each other by relative links. Tables that a page does not show at once, and the
values of single images, lie in small scripts under data/, because a page that was opened from a disk may read no files.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import rescale_bench
from rescale_bench.report import site_pages
from rescale_bench.report.admission import RULES, Admitted
from rescale_bench.report.markup import asset, script, templates
from rescale_bench.report.site_claims import Judged, bare_name, claims_page, judged_claims
from rescale_bench.report.site_extras import Extra, extras, undamaged
from rescale_bench.report.site_pictures import Shown, gather
from rescale_bench.report.site_tables import Places, image_values, measured, overviews, places, primary
from rescale_bench.runs.submission import PICTURES
from rescale_bench.tables import leaderboard
from rescale_bench.tables.model import Section
from rescale_bench.tables.rows import choose_metrics, prepare
from rescale_bench.tables.scores import Score, Setting

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

PAGES = (
    ("index.html", "Leaderboard"),
    ("methods.html", "Methods"),
    ("datasets.html", "Data sets"),
    ("compare.html", "Compare"),
    ("sources.html", "Runs"),
    ("submit.html", "Submit"),
)


@dataclass(frozen=True)
class Look:
    """What the user asked of the site.

    metrics: of the tables, None for all. reference: of paired differences. pictures: the data sets of one's own whose
    kept pictures everybody may see.
    """

    title: str = "rescale-bench leaderboard"
    reference: str = "bicubic"
    metrics: tuple[str, ...] | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """One leaderboard. key: names its script under data/. scales: that it holds. html: its tables and notes."""

    key: str
    setting: Setting
    scales: tuple[str, ...]
    html: str

    @property
    def address(self) -> str:
        """What the address of the leaderboard's page says of it, behind the #."""
        setting = self.setting
        return urlencode({"set": setting.dataset, "protocol": protocol_of(setting), "codec": setting.codec})

    @property
    def choice(self) -> dict[str, Any]:
        """What the page's script knows of it."""
        setting = self.setting
        return {
            "key": self.key, "set": setting.dataset, "protocol": protocol_of(setting), "codec": setting.codec,
            "scales": self.scales, "title": setting.title,
        }  # fmt: skip


def protocol_of(setting: Setting) -> str:
    """Name a protocol with its version: "rgb8 version 1"."""
    return f"{setting.protocol} version {setting.protocol_version}"


class Files:
    """Names of pages for texts of somebody else's: no character but letters, digits and . _ + @ -, and none twice."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.names: dict[str, str] = {}

    def page(self, text: str) -> str:
        """Give the page of a text, always the same one."""
        if text not in self.names:
            plain = f"{self.kind}-{re.sub(r'[^A-Za-z0-9._+@-]+', '-', text)[:80]}"
            taken = {name.lower() for name in self.names.values()}  # some disks know no case
            number = next(n for n in range(1, len(taken) + 2) if f"{plain}{_number(n)}.html".lower() not in taken)
            self.names[text] = f"{plain}{_number(number)}.html"
        return self.names[text]

    def link(self, text: str) -> str:
        """Give the link to the page of a text."""
        return quote(self.page(text))


def _number(number: int) -> str:
    return f"-{number}" if number > 1 else ""


@dataclass(frozen=True)
class Content:
    """What all pages are made of. metrics: in order. own: method by label. methods, datasets: their pages."""

    admitted: Admitted
    registry: Registry
    look: Look
    scores: Sequence[Score]
    boards: tuple[Board, ...]
    extras: tuple[Extra, ...]
    judged: tuple[Judged, ...]
    metrics: Sequence[str]
    own: Mapping[str, str]
    methods: Files
    datasets: Files

    @property
    def links(self) -> dict[str, str]:
        """The page of each label's method."""
        return {label: self.methods.link(method) for label, method in self.own.items()}

    def link(self, name: str) -> str:
        """Give the page of the method that a claim names; "" where it has no rows."""
        method = bare_name(name)
        return self.methods.link(method) if method in self.methods.names else ""

    @cached_property
    def places(self) -> Places:
        """The place of each method by the main metric."""
        return places(self.scores, primary(self.scores))

    @cached_property
    def of_method(self) -> dict[str, list[Score]]:
        """The scores of each method."""
        found: dict[str, list[Score]] = {method: [] for method in self.methods.names}
        for score in self.scores:
            found[self.own[score.label]].append(score)
        return found

    @cached_property
    def labels_in(self) -> dict[Setting, list[str]]:
        """The labels of each leaderboard."""
        found: dict[Setting, dict[str, None]] = {}
        for score in self.scores:
            found.setdefault(score.group.setting, {})[score.label] = None
        return {setting: sorted(labels) for setting, labels in found.items()}

    @cached_property
    def rows_of(self) -> dict[str, pd.DataFrame]:
        """The rows of each method."""
        return {str(name): rows for name, rows in self.admitted.rows.groupby("method")}


def build_site(admitted: Admitted, registry: Registry, look: Look) -> dict[str, str | bytes]:
    """Write all files of the site: path → text, or bytes of a picture.

    Raises UnknownNameError for metrics that nobody measured, UsageError for pictures that may not be published.
    """
    every = admitted.rows
    rows = undamaged(every)
    prepared = prepare(rows, sets=True)
    own = dict(prepared[["label", "method"]].drop_duplicates().itertuples(index=False, name=None))
    found = leaderboard(rows, look.reference, look.metrics)
    metrics = choose_metrics(prepared, look.metrics)
    # Costs stand on the pages of methods: they belong to a machine, and often to a few images alone.
    quality = prepared.loc[prepared["group"] != "cost", "metric"]
    shown = metrics if look.metrics else [name for name in metrics if name in set(quality)] or metrics
    sections = leaderboard(rows, look.reference, shown).sections
    methods, datasets = Files("method"), Files("dataset")
    for pages, names in ((methods, own.values()), (datasets, rows["dataset"])):
        for name in sorted(set(names)):
            pages.page(name)
    content = Content(admitted, registry, look, found.scores, (), (), (), metrics, own, methods, datasets)
    # What most methods took part in comes first: a visitor sees it before anything is chosen.
    ordered = sorted(sections, key=lambda section: -sum(len(table.rows) for table in section.tables))
    boards = _boards([*overviews(found.scores), *ordered], content.links)
    more = tuple(extras(every, registry, look.reference, primary(found.scores)))
    judged = judged_claims(rows, registry)
    content = dataclasses.replace(content, boards=boards, extras=more, judged=judged)
    compared, pictures = gather(prepared, admitted.sources, registry, look.pictures)
    files: dict[str, str | bytes] = {
        "assets/site.css": asset("report.css") + asset("site.css"),
        "assets/site.js": script("boards.js", "site.js"),
        **{f"data/{board.key}.js": _data(board.key, board.html) for board in boards},
    }
    files |= {f"data/{key}.js": _data(key, values) for key, values in _images(content, compared)}
    files |= {f"{PICTURES}/{name}.webp": packed for name, packed in pictures.items()}
    return files | dict(_pages(content))


def _boards(sections: Sequence[Section], links: Mapping[str, str]) -> tuple[Board, ...]:
    parts: Any = templates().get_template("parts.html.j2").module
    made = []
    for number, found in enumerate(sections, start=1):
        section = dataclasses.replace(found, tables=tuple(map(measured, found.tables)))
        rows = [row for table in section.tables for row in table.rows]
        columns = [column for table in section.tables for column in table.columns]
        scales = {row.scale for row in rows} | {column.scale for column in columns}
        ordered = tuple(sorted(scales - {""}, key=Decimal))
        made.append(Board(f"board-{number}", section.setting, ordered, parts.board(section, links)))
    return tuple(made)


def _images(content: Content, shown: Shown) -> Iterator[tuple[str, Any]]:
    keys = {board.setting: board.key for board in content.boards}
    for (setting, scale), values in image_values(content.scores, content.metrics).items():
        if setting in keys:
            pictures = shown.get((setting, scale), {})
            yield f"images-{keys[setting].removeprefix('board-')}-{scale}", {**values, "pictures": pictures}


def _data(key: str, content: Any) -> str:
    """Write a script that hands its content over. "<" is escaped: no checker may take the text for markup."""
    return f"rescaleBench({json.dumps(key)}, {json.dumps(content, separators=(',', ':'))});\n".replace("<", "\\u003c")


def _pages(content: Content) -> Iterator[tuple[str, str]]:
    environment = templates()
    more = [("claims.html", "Claims")] * bool(content.judged) + [(one.file, one.title) for one in content.extras]
    listed = (*PAGES[:4], *more, *PAGES[4:])
    shared = {"version": rescale_bench.__version__, "site": content.look.title, "pages": listed}

    def page(file: str, template: str, title: str, **context: Any) -> tuple[str, str]:
        made = environment.get_template(f"site_{template}.html.j2")
        return file, made.render(**shared, here=file, title=title, **context)

    boards, sets = (
        content.boards,
        [board for board in content.boards if board.setting.dataset in content.datasets.names],
    )
    yield page("index.html", "index", "Leaderboard", boards=boards, choices=[board.choice for board in boards])
    yield page("compare.html", "compare", "Compare two methods", choices=[board.choice for board in sets])
    yield page("methods.html", "list", "Methods", column="method", **site_pages.method_list(content))
    yield page("datasets.html", "list", "Data sets", column="data set", **site_pages.dataset_list(content))
    for method, file in content.methods.names.items():
        yield page(file, "method", method, **site_pages.method_page(content, method))
    for dataset, file in content.datasets.names.items():
        yield page(file, "dataset", dataset, **site_pages.dataset_page(content, dataset))
    if content.judged:
        yield page("claims.html", "claims", "Claims", **claims_page(content.judged, content.link))
    for extra in content.extras:
        yield page(extra.file, "extra", extra.title, page=extra, links=content.links)
    sources = site_pages.source_list(content)
    yield page("sources.html", "sources", "Runs", sources=sources, refusals=content.admitted.refusals)
    named = list(content.datasets.names)
    yield page("submit.html", "submit", "Submit", reference=content.look.reference, datasets=named, rules=RULES)

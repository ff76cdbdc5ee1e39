"""What a submission holds: the rows of a run that may be published, where they were measured, and a checklist."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rescale_bench
from rescale_bench.datasets import without_variant
from rescale_bench.errors import UsageError
from rescale_bench.report.admission import described, judge, measurements
from rescale_bench.report.facts import method_facts
from rescale_bench.report.site_pictures import SUBMISSION_BYTES, Pictures, allowed, of_named, pack
from rescale_bench.runs.folder import ABOUT, ENVIRONMENT, Run
from rescale_bench.runs.schema import SCHEMA
from rescale_bench.runs.submission import write_submission

if TYPE_CHECKING:
    import pandas as pd

    from rescale_bench.api.registry import Registry

Checklist = tuple[tuple[bool, str], ...]
PRIVATE = ("variables", "plugin_files", "earlier")
"""Of env.json: they name folders of the machine."""


@dataclass(frozen=True)
class Prepared:
    """A submission before it is written. documents: JSON files by name. card: what submission.json says."""

    name: str
    rows: pd.DataFrame
    documents: Mapping[str, Mapping[str, Any]]
    card: Mapping[str, Any]
    checklist: Checklist
    pictures: Pictures

    def write(self, path: Path) -> None:
        """Write it. Raises OSError."""
        write_submission(path, self.rows, self.documents, self.card, self.pictures.files)


def prepare_submission(path: Path, frame: pd.DataFrame, registry: Registry, named: Sequence[str] = ()) -> Prepared:
    """Choose the rows that may be published and describe their methods.

    named: data sets whose kept pictures are packed, too. Raises UsageError where there is no row, or no picture.
    """
    run = Run(path)
    kept, refusals = judge(measurements(frame), registry)
    if kept.empty:
        raise UsageError(f"no row of {path} may be published: {'; '.join(refusals)}")
    kept = described(kept, registry).drop(columns="method_label")
    pictures, too_many = pack(of_named(kept, named, registry), run)
    if named and not pictures.cells:
        raise UsageError(f"{path} kept no pictures of {', '.join(named)}; measure once more with --keep")
    checklist = (
        *_checklist(run, kept, refusals, registry),
        *_about_pictures(pictures, too_many, kept, named, registry),
    )
    methods = {name: facts for name in sorted(set(kept["method"])) if (facts := method_facts(name, registry))}
    environment = {key: value for key, value in run.environment.items() if key not in PRIVATE}
    about = {"schema": SCHEMA, "history": list(run.history), "metrics": run.metrics}
    card = {
        "name": run.name,
        "rescale-bench": rescale_bench.__version__,
        "methods": methods,
        "checklist": [{"holds": holds, "text": text} for holds, text in checklist],
        "pictures": pictures.cells,
    }
    documents = {ABOUT: _homeless(about), ENVIRONMENT: _homeless(environment)}
    return Prepared(run.name, kept, documents, card, checklist, pictures)


def _homeless(content: Mapping[str, Any]) -> dict[str, Any]:
    """Write "~" for the folder of the user: it often holds a name."""
    home = json.dumps(str(Path.home()))[1:-1]
    found: dict[str, Any] = json.loads(json.dumps(content).replace(home, "~"))
    return found


def _checklist(run: Run, rows: pd.DataFrame, refusals: list[str], registry: Registry) -> Iterator[tuple[bool, str]]:
    yield not refusals, "all rows may be published" if not refusals else f"left out: {'; '.join(refusals)}"
    own = sorted(name for name in set(rows["dataset"]) if name.partition("@")[0] not in registry.datasets)
    text = "all data sets are registered ones"
    yield (
        not own,
        text if not own else f"data sets that only you have cannot be compared with others': {', '.join(own)}",
    )
    few = []
    for name, part in rows[rows["image"] != ""].groupby("dataset"):
        record = registry.datasets.get(str(name).partition("@")[0])
        if record and record.count and part["image"].nunique() < record.count:
            few.append(f"{name}: {part['image'].nunique()} of {record.count} images")
    yield not few, "every data set is complete" if not few else f"incomplete, so not ranked: {'; '.join(few)}"
    run_here = set(rows.loc[rows["origin"] == "run", "method"])
    absent = sorted(name for name in run_here if not method_facts(name, registry))
    yield (
        not absent,
        "all methods are described" if not absent else f"nothing describes {', '.join(absent)}: give its --plugin",
    )
    yield bool(run.environment), "the machine is described" if run.environment else "env.json is missing"
    commit = str(run.environment.get("commit") or "")
    changed = commit.endswith("+changes")
    yield (
        not changed,
        "rescale-bench ran as released or committed" if not changed else "rescale-bench was changed locally",
    )


def _about_pictures(
    pictures: Pictures, too_many: int, rows: pd.DataFrame, named: Sequence[str], registry: Registry
) -> Iterator[tuple[bool, str]]:
    """Say what of the pictures is packed; nothing where none are wanted."""
    if not named:
        return
    yield True, f"pictures of {len(pictures.cells)} cells are packed, {pictures.size / 1000:.0f} kB"
    mine = rows[rows["dataset"].astype(str).map(without_variant).isin([without_variant(name) for name in named])]
    own = sorted(name for name in set(mine["dataset"]) if without_variant(name) not in registry.datasets)
    if own:
        yield True, f"you say that everybody may see pictures of {', '.join(own)}"
    closed = mine[~allowed(mine, registry, own=True) & mine["damage"].eq("") & mine["image"].ne("")]
    names = sorted({f"{dataset}/{image}" for dataset, image in zip(closed["dataset"], closed["image"], strict=True)})
    if names:
        yield False, f"no pictures of {', '.join(names)}: their licence does not let everybody publish them"
    if too_many:
        yield False, f"no pictures of {too_many} cells: all take at most {SUBMISSION_BYTES / 1e6:g} MB"

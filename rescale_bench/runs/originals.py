"""The HR images of a stored run, found again: in its data sets, in the folders it named, or among kept pictures."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from rescale_bench.api.records import Dataset
from rescale_bench.errors import RescaleBenchError, UsageError
from rescale_bench.runs.folder import Run

FLAGS = ("-d", "--datasets")


@dataclass(frozen=True)
class Original:
    """One HR image. sha256: of the file found. crop: the multiple its sides are still to be cut to, 1 for none."""

    path: Path
    sha256: str
    crop: int


@dataclass(frozen=True)
class Wanted:
    """The images of one data set at one scale. images: (name, sha256 of the file, "" where unknown).

    cells: name → cells that may have kept the image.
    """

    dataset: str
    images: tuple[tuple[str, str], ...]
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def find_originals(wanted: Wanted, datasets: Mapping[str, Dataset], run: Run) -> list[Original]:
    """Find the file of every image of a run: one with the run's own bytes, else the HR that `run --keep` stored.

    datasets: registered ones. Raises UsageError naming the first image that is not to be had, and why.
    """
    tables: list[tuple[Mapping[str, Path], int]] = []
    problems: list[str] = []
    for text in _texts(wanted.dataset, run):
        try:
            table, crop = _files(text, wanted.dataset, datasets)
        except RescaleBenchError as error:
            problems.append(str(error))
            continue
        tables.append((table, crop))
    found = []
    for name, sha256 in wanted.images:
        others: list[Path] = []
        one = _measured(name, sha256, tables, others) or _kept(wanted.cells.get(name, ()), run)
        if one is None:
            raise UsageError(_reason(wanted.dataset, name, others, bool(tables), problems))
        found.append(one)
    return found


def _texts(dataset: str, run: Run) -> Iterator[str]:
    """List what may lead to a data set: its name, and the folders of the run, also seen from the run's own folder."""
    yield dataset
    base = dataset.partition("@mod")[0]
    for name in dict.fromkeys(_named(run)):
        path = Path(name.partition("@mod")[0]).expanduser()
        if path.name not in ("", ".", "..", base):
            continue
        yield name
        if run.folder is not None and not path.is_absolute():
            yield from (str(parent / name) for parent in run.folder.resolve().parents if (parent / name).exists())


def _named(run: Run) -> Iterator[str]:
    """List the data sets as the commands of a run named them."""
    texts = [str(run.asked.get("datasets", "")), *(text for command in run.history for text in _given(command))]
    yield from filter(None, (name.strip() for text in texts for name in text.split(",")))


def _given(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    found = [after for word, after in pairwise(words) if word in FLAGS]
    return found + [word.partition("=")[2] for word in words if word.startswith("--datasets=")]


def _files(text: str, dataset: str, registered: Mapping[str, Dataset]) -> tuple[dict[str, Path], int]:
    from rescale_bench.datasets import find_dataset

    record, crop = find_dataset(text, registered)
    if record.name != dataset:
        raise UsageError(f"{text} is not the data set {dataset}")
    return {file.name: file.path for file in record.images()}, crop


def _measured(
    name: str, sha256: str, tables: Sequence[tuple[Mapping[str, Path], int]], others: list[Path]
) -> Original | None:
    """Find a file by name and bytes; files of that name with other bytes are added to others."""
    for table, crop in tables:
        path = table.get(name)
        if path is None:
            continue
        own = _sha256(path)
        if own and sha256 in ("", own):
            return Original(path, own, crop)
        others.append(path)
    return None


def _kept(cells: Sequence[str], run: Run) -> Original | None:
    for cell in cells:
        # What is kept is cut already, as the protocol and the data set's variant want it.
        path = run.outputs.find(cell, "hr")
        if path is not None and (own := _sha256(path)):
            return Original(path, own, 1)
    return None


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _reason(dataset: str, name: str, others: Sequence[Path], known: bool, problems: Sequence[str]) -> str:
    if others:
        return f"{others[0]} is not the image that the run measured"
    if known:
        return f"{dataset} has no image {name} here, and the run kept none (--keep)"
    return f"the images of {dataset} are not here ({problems[-1]}), and the run kept none (--keep)"

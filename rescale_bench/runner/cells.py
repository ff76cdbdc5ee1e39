"""The cells of a run as plain values, and the plan that they follow from."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import compress, product, starmap
from typing import Any

from rescale_bench.api.records import Method, Protocol
from rescale_bench.api.registry import Chosen
from rescale_bench.runner.request import Request
from rescale_bench.runs.schema import OF_CELL, cell_key, hashed, key_text
from rescale_bench.weights.choice import ChosenWeights

NO_FILE = NO_DAMAGE = "none"
"""The codec of a protocol that passes the LR in float; what is asked for where nothing is to happen to the LR."""
OF_PICTURE = {"dataset": "dataset", "image": "name", "image_sha256": "sha256"}
"""Columns of a cell that its picture fills, in the order in which they are hashed, and the picture's own name of them.

Its crop is in the name of the data set."""


@dataclass(frozen=True)
class Given:
    """Files made elsewhere that take the place of a method's halves, with their SHA-256.

    sr: the restored image, "" where it is missing. lr: the LR image, "" where there is none.
    """

    sr: str
    sr_sha256: str
    lr: str = ""
    lr_sha256: str = ""


@dataclass(frozen=True)
class Cell:
    """One round trip to be run, as plain values.

    cell: the key. spec: what finds the method again, as the user wrote it ("" for method and options).
    method: the name, options: canonical text. weights: tag. files: path by weights part
    ("" for random ones). crop: HR sides are cut to multiples of it (variants such as @mod12).
    tile: side of the tiles in LR pixels where one was asked for, else "" (whole, or what is equal to it).
    dtype: "float32", or "bf16" for bfloat16 inside networks. batch: images of one size that may go through a network
    at once. compiled: whether torch.compile is around networks. These three move the last digits: sums in another
    order differ by 1e-7, and a pixel on the edge between two levels is then rounded the other way.
    damage: what is done to the LR between the halves, "" for nothing.
    given: files that are scored, where no method is run.
    """

    cell: str
    method: str
    options: str
    weights: str
    weights_sha256: str
    files: tuple[tuple[str, str], ...]
    dataset: str
    image: str
    path: str
    image_sha256: str
    crop: int
    scale: str
    codec: str
    protocol: str
    protocol_version: int
    seed: int
    tile: str = ""
    dtype: str = "float32"
    batch: int = 1
    compiled: bool = False
    damage: str = ""
    native: bool = True
    ceiling: bool = False
    given: Given | None = None
    spec: str = ""

    @property
    def origin(self) -> str:
        """Say where the images come from: "run", or "files" that were made elsewhere."""
        return "files" if self.given else "run"

    @property
    def build(self) -> Hashable:
        """Name what the cell needs built: cells with equal names share one method, built once, and may be one batch."""
        return self.spec, self.method, self.options, self.files, self.dtype, self.batch, self.compiled

    def identity(self) -> dict[str, Any]:
        """Lay out what a journal line says about the cell."""
        return {column.name: getattr(self, column.name) for column in OF_CELL if hasattr(self, column.name)}


Batch = tuple[Cell, ...]
"""Cells for one process to run at once, where their method takes them; mostly one."""


@dataclass(frozen=True)
class Picture:
    """One image of a data set. crop: sides are cut to multiples of it. size: of the file, in bytes.

    sha256: of the file, "" where it cannot be read (its cells then fail with the reason).
    given: files that are scored in place of running a method.
    """

    dataset: str
    name: str
    path: str
    crop: int
    sha256: str
    size: int
    given: Given | None = None


Steps = tuple[Chosen, ...]
Setting = tuple[Decimal, Chosen | None, Steps]


@dataclass(frozen=True)
class Part:
    """A method with one choice of weights, and what it is run on.

    scales: those that use the weights. codecs: None where the LR passes in float. damages: each one the steps that
    follow each other, none where nothing happens to the LR.
    """

    method: Chosen
    weights: ChosenWeights
    scales: tuple[Decimal, ...]
    codecs: tuple[Chosen | None, ...]
    batch: int
    compiled: bool
    damages: tuple[Steps, ...] = ((),)

    @property
    def settings(self) -> list[Setting]:
        """What each picture is run with."""
        return list(product(self.scales, self.codecs, self.damages))


@dataclass(frozen=True)
class Plan:
    """What is to be measured: every picture by every part; and what was left out and why.

    Iterating gives the cells in the order of running: a part's follow each other, so that a worker builds each method
    once; the largest image first, so that none comes last when the other workers have nothing left to do.
    """

    request: Request
    protocol: Protocol
    metrics: tuple[Chosen, ...]
    set_metrics: tuple[Chosen, ...]
    pictures: tuple[Picture, ...]
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the cells."""
        return sum(map(self.size, self.parts))

    def size(self, part: Part) -> int:
        """Count the cells of a part, which follow each other."""
        return len(self.pictures) * len(part.settings)

    def __iter__(self) -> Iterator[Cell]:
        """Make the cells, one at a time."""
        return starmap(self._cell, self._grid())

    def chosen(self, wanted: Iterable[bool]) -> Iterator[Cell]:
        """Make those cells, one at a time, that are wanted. wanted: of each cell in order."""
        return starmap(self._cell, compress(self._grid(), wanted))

    def cell_keys(self) -> Iterator[str]:
        """Give the key of every cell, in order, without making the cells."""
        texts = [[_quoted(getattr(picture, name)) for name in OF_PICTURE.values()] for picture in self.pictures]
        for part in self.parts:
            around = [self._around(part, *setting) for setting in part.settings]
            for picture, (dataset, image, sha256) in zip(self.pictures, texts, strict=True):
                if picture.given:  # its files are in its key
                    yield from (self._cell(part, picture, *setting).cell for setting in part.settings)
                else:
                    yield from (hashed(a + dataset + b + image + c + sha256 + d) for a, b, c, d in around)

    def _around(self, part: Part, scale: Decimal, codec: Chosen | None, damage: Steps) -> list[str]:
        """Write what is hashed of a cell (schema.key_text), cut where its image's own values stand."""
        marks = {column: f"\0{column}" for column in OF_PICTURE}
        picture = Picture(marks["dataset"], marks["image"], path="", crop=1, sha256=marks["image_sha256"], size=0)
        cell, versions = self._unnamed(part, picture, scale, codec, damage)
        text, pieces = key_text(cell.identity(), versions), []
        for mark in marks.values():
            piece, text = text.split(_quoted(mark))
            pieces.append(piece)
        return [*pieces, text]

    def _grid(self) -> Iterator[tuple[Part, Picture, Decimal, Chosen | None, Steps]]:
        for part in self.parts:
            yield from product((part,), self.pictures, part.scales, part.codecs, part.damages)

    def _cell(self, part: Part, picture: Picture, scale: Decimal, codec: Chosen | None, damage: Steps) -> Cell:
        cell, versions = self._unnamed(part, picture, scale, codec, damage)
        return replace(cell, cell=cell_key(cell.identity(), versions))

    def _unnamed(
        self, part: Part, picture: Picture, scale: Decimal, codec: Chosen | None, damage: Steps
    ) -> tuple[Cell, dict[str, str]]:
        """Make a cell that lacks its key, and the versions that go into it."""
        method: Method = part.method.record
        cell = Cell(
            cell="",
            method=method.name,
            options=part.method.label.partition(":")[2],
            weights=part.weights.tag,
            weights_sha256=part.weights.sha256,
            files=part.weights.files,
            dataset=picture.dataset,
            image=picture.name,
            path=picture.path,
            image_sha256=picture.sha256,
            crop=picture.crop,
            scale=str(scale),
            codec=codec.label if codec else NO_FILE,
            protocol=self.protocol.name,
            protocol_version=self.protocol.version,
            seed=self.request.seed,
            tile=self.request.fixed_tile,
            dtype=self.request.dtype,
            batch=part.batch,
            compiled=part.compiled,
            damage="+".join(step.label for step in damage),
            native=not method.traits.indirect,
            ceiling=method.traits.ceiling,
            given=picture.given,
            spec=part.method.spec,
        )
        versions = {"method": method.version, "codec": codec.record.version if codec else ""}
        if damage:
            versions["damage"] = "+".join(step.record.version for step in damage)
        if picture.given:  # what stands behind the name of a method is its files
            versions |= {"method": picture.given.sr_sha256, "lr": picture.given.lr_sha256}
        return cell, versions


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

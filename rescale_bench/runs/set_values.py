"""Values of whole data sets (FID, KID), kept beside a run as `distribution.csv`.

A value belongs to the cells that it was measured on: it is found again by their digest, so that a run which has
since grown, or was measured anew, never shows a value of other images.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescale_bench.errors import StoreError
from rescale_bench.machine.printable import printable
from rescale_bench.machine.writing import reason

FILE = "distribution.csv"


@dataclass(frozen=True)
class SetValue:
    """One metric of one set of restored images.

    cells: digest of the cells' keys. images: how many. value: None where status is not "ok". features: what it is
    computed from ("2048 Inception-v3, clean 299×299"). The other fields are for people: the digest identifies.
    """

    protocol: str
    protocol_version: str
    dataset: str
    codec: str
    scale: str
    method: str
    seed: str
    metric: str
    metric_version: str
    direction: str
    decimals: int
    images: int
    value: float | None
    status: str
    error: str
    features: str
    cells: str

    @property
    def key(self) -> tuple[str, str]:
        """What it is the value of."""
        return self.cells, self.metric


FIELDS = tuple(field.name for field in dataclasses.fields(SetValue))


def digest(cells: Iterable[str]) -> str:
    """Name a set of cells, whatever their order."""
    return hashlib.sha256("\n".join(sorted(cells)).encode()).hexdigest()[:24]


def home_of(path: Path) -> Path | None:
    """Find the folder of a run, given as a folder or its results.parquet; None for another bare table."""
    return path if path.is_dir() else path.parent if path.name == "results.parquet" else None


def read_set_values(path: Path) -> tuple[SetValue, ...]:
    """Read what stands beside a run (its folder or results.parquet); empty where nothing was measured.

    Raises StoreError naming the line of a damaged file.
    """
    home = home_of(path)
    if home is None or not (home / FILE).is_file():
        return ()
    file = home / FILE
    try:
        with file.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            return tuple(_row(file, number, row) for number, row in enumerate(reader, start=2))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"cannot read {file}: {error}; delete it and run `rescale-bench distribution` again") from None


def _row(file: Path, number: int, row: dict[str, str | None]) -> SetValue:
    try:
        text = {name: printable(row[name] or "") for name in FIELDS}
        number_text = text.pop("value")
        value = float(number_text) if number_text else None
        return SetValue(
            **{name: part for name, part in text.items() if name not in ("decimals", "images")},
            decimals=int(text["decimals"]), images=int(text["images"]), value=value,
        )  # fmt: skip
    except (KeyError, ValueError):
        raise StoreError(
            f"{file}, line {number} is damaged; delete the file and run `rescale-bench distribution` again"
        ) from None


def write_set_values(folder: Path, values: Sequence[SetValue]) -> Path:
    """Write distribution.csv into a run folder, atomically. Raises StoreError."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(value) for value in values)
    temporary = folder / f".{FILE}.tmp"
    try:
        temporary.write_text(stream.getvalue(), encoding="utf-8")
        os.replace(temporary, folder / FILE)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(f"cannot write {folder / FILE}: {reason(error)}") from None
    return folder / FILE

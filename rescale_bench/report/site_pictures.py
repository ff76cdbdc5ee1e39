"""Small pictures for the comparison of two methods: cut from what a run kept, packed into submissions, shown by a site.

The HR image alone decides where its pictures are cut, so that those of different runs show the same place. Pictures are
published of images whose licence lets everybody do so; of a folder of one's own, where its owner names it.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rescale_bench.datasets import without_variant
from rescale_bench.errors import ImageError, StoreError, UnknownNameError, UsageError
from rescale_bench.report.crops import Box, enlarged, read_pixels, squared_error, webp, worst_box
from rescale_bench.runs.outputs import PARTS
from rescale_bench.runs.submission import ENDING, PICTURES, read_submission
from rescale_bench.tables.scores import Setting

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from rescale_bench.api.registry import Registry
    from rescale_bench.report.admission import Source
    from rescale_bench.runs.folder import Run

SIDE = 96
"""Pixels of a picture, each way."""
SUBMISSION_BYTES = 4_000_000
"""What all pictures of one submission may take."""
TOGETHER = ("dataset", "image", "scale", "codec", "protocol", "protocol_version")
"""What the cells share whose pictures are looked at side by side."""


@dataclass
class Pictures:
    """Pictures as lossless WebP. files: by the digest of their pixels. cells: cell → part (hr, lr, sr) → digest."""

    files: dict[str, bytes] = field(default_factory=dict)
    cells: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, cell: str, crops: Mapping[str, np.ndarray]) -> None:
        """Add the pictures of a cell, uint8 (H, W, 3) by part. Raises ImageError."""
        self.cells[cell] = {}
        for part, pixels in crops.items():
            name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:24]
            if name not in self.files:
                self.files[name] = webp(pixels, 0)
            self.cells[cell][part] = name

    def with_others(self, others: Pictures) -> Pictures:
        """Join both."""
        return Pictures(self.files | others.files, self.cells | others.cells)

    @property
    def size(self) -> int:
        """Count the bytes of all files."""
        return sum(map(len, self.files.values()))


# --- what may be published -------------------------------------------------------


def allowed(rows: pd.DataFrame, registry: Registry, own: bool) -> pd.Series[bool]:
    """Say of each row whether pictures of its image may be published. own: of sets that nobody registered, too."""
    import pandas as pd

    def may(dataset: str, image: str) -> bool:
        record = registry.datasets.get(without_variant(dataset))
        return own if record is None else record.shareable(image)

    places = rows[["dataset", "image", "damage"]].astype(str).itertuples(index=False, name=None)
    found = [damage == "" and image != "" and may(dataset, image) for dataset, image, damage in places]
    return pd.Series(found, index=rows.index, dtype=bool)


def of_named(rows: pd.DataFrame, named: Sequence[str], registry: Registry) -> pd.DataFrame:
    """Choose the rows of named data sets whose pictures may be published.

    Raises UnknownNameError for a data set without rows, UsageError for one of whose images none may be published.
    """
    import pandas as pd

    bases = rows["dataset"].astype(str).map(without_variant)
    parts = [rows[:0]]
    for name in named:
        mine = rows[bases == without_variant(name)]
        if mine.empty:
            raise UnknownNameError("data set with rows", name, set(bases))
        parts.append(mine[allowed(mine, registry, own=True)])
        if parts[-1].empty:
            licence = registry.datasets[without_variant(name)].licence
            raise UsageError(f"pictures of {name} may not be published (its licence: {licence})")
    return pd.concat(parts)


# --- where they come from --------------------------------------------------------


def pack(rows: pd.DataFrame, run: Run) -> tuple[Pictures, int]:
    """Take the pictures of these rows that the run kept; also says of how many cells they would be too many.

    An image at one scale is taken with all of its methods or not at all, until SUBMISSION_BYTES are full.
    """
    packed, left = Pictures(), 0
    cells = rows.drop_duplicates("cell").sort_values([*TOGETHER, "method"])
    for _, group in cells.groupby(list(TOGETHER), observed=True):
        joined = packed.with_others(cut(group, run))
        left += len(joined.cells) - len(packed.cells) if joined.size > SUBMISSION_BYTES else 0
        packed = joined if joined.size <= SUBMISSION_BYTES else packed
    return packed, left


def cut(rows: pd.DataFrame, run: Run) -> Pictures:
    """Cut the pictures of these rows out of what the run kept; what it did not keep or cannot be read is left out."""
    found = Pictures()
    originals: dict[Any, tuple[tuple[int, ...], Box, np.ndarray]] = {}
    names = ["cell", *TOGETHER]
    for cell, *place in rows[names].drop_duplicates("cell").astype(str).itertuples(index=False, name=None):
        files, key = run.outputs.files(cell), tuple(place)
        try:
            if files and key not in originals:
                hr = read_pixels(files["hr"])
                box = busiest(hr)
                originals[key] = (hr.shape, box, box.of(hr))
            pixels = {part: read_pixels(files[part]) for part in PARTS[1:] if files}
        except ImageError:
            continue
        if files and pixels["sr"].shape == originals[key][0]:
            (height, width, _), box, hr = originals[key]
            lr = enlarged(pixels["lr"], (height, width))
            found.add(cell, {"hr": hr, "lr": box.of(lr), "sr": box.of(pixels["sr"])})
    return found


def busiest(hr: np.ndarray) -> Box:
    """Find the square of SIDE pixels (less in small images) where neighbouring pixels differ most. hr: (H, W, 3)."""
    import numpy as np

    edges = np.zeros(hr.shape[:2], dtype=np.int64)
    edges[:, 1:] += squared_error(hr[:, 1:], [hr[:, :-1]])
    edges[1:] += squared_error(hr[1:], [hr[:-1]])
    return worst_box(edges, SIDE)


def unpack(run: Run, cells: Iterable[str]) -> Pictures:
    """Read the pictures of some cells of a submission: a stranger's, so they are decoded and written anew.

    A cell whose pictures are no WebP files of one size, at most SIDE pixels, is left out.
    """
    found = Pictures()
    said: Any = run.card.get("pictures")
    try:
        members = read_submission(run.path) if isinstance(said, Mapping) else {}
    except (StoreError, OSError):
        return found
    for cell in cells if members else ():
        try:
            crops = {part: _decoded(members[f"{PICTURES}/{said[cell][part]}.webp"]) for part in PARTS}
        except (ImageError, KeyError, TypeError, AttributeError):
            continue
        if len({crop.shape for crop in crops.values()}) == 1:
            found.add(cell, crops)
    return found


def _decoded(content: bytes) -> np.ndarray:
    """Decode a WebP file to uint8 (H, W, 3). Raises ImageError, also for more than SIDE pixels each way."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
            if max(image.size) > SIDE:
                raise ImageError(f"a picture of more than {SIDE} pixels")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"no WebP file: {error}") from None


# --- for the site ----------------------------------------------------------------

Shown = dict[tuple[Setting, str], dict[str, dict[str, list[str]]]]
"""(setting, scale) → label → image → digests of its HR, LR and restored picture."""


def gather(
    rows: pd.DataFrame, sources: Iterable[Source], registry: Registry, named: Sequence[str]
) -> tuple[Shown, dict[str, bytes]]:
    """Collect the pictures of the site's rows, and their files by digest.

    rows: prepared, with the name of their source. named: data sets of one's own whose kept pictures may be shown; what
    a submission packs of such a set may be. Raises as of_named.
    """
    may = allowed(rows, registry, own=False)
    chosen = of_named(rows, named, registry).index
    shown: Shown = {}
    files: dict[str, bytes] = {}
    for source in sources:
        mine = rows[rows["source"] == source.name]
        if source.run.path.suffix == ENDING:
            mine = mine[allowed(mine, registry, own=True)]
            pictures = unpack(source.run, mine["cell"].astype(str).unique())
        else:
            mine = mine[may[mine.index] | mine.index.isin(chosen)]
            pictures = cut(mine, source.run)
        of_cells = mine[mine["cell"].astype(str).isin(pictures.cells)].drop_duplicates("cell")
        columns = ["cell", "label", *TOGETHER]
        for cell, label, dataset, image, scale, codec, protocol, version in (
            of_cells[columns].astype(str).itertuples(index=False, name=None)
        ):
            key = Setting(protocol, version, dataset, codec), scale
            parts = pictures.cells[cell]
            shown.setdefault(key, {}).setdefault(label, {}).setdefault(image, [parts[part] for part in PARTS])
            files |= {name: pictures.files[name] for name in parts.values()}
    return shown, files

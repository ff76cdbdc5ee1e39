"""The stored outputs of a run (`run --keep`), and scores measured on them again under other protocols."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rescale_bench.api.records import Costs, Protocol, Sample
from rescale_bench.checks.naming import MeanKey
from rescale_bench.checks.switches import SCORES, Change, scored, switched
from rescale_bench.errors import UndefinedValueError
from rescale_bench.runs.folder import Run
from rescale_bench.runs.outputs import PARTS, Outputs

if TYPE_CHECKING:
    import pandas as pd
    import torch


@dataclass(frozen=True)
class Pictures:
    """The stored outputs of a run.

    cells: for each thing measured, the cells of each image (several where there are seeds).
    """

    outputs: Outputs
    cells: Mapping[MeanKey, Mapping[str, Sequence[str]]]

    def missing(self, key: MeanKey) -> int:
        """Count the cells of one mean whose outputs are not all there."""
        cells = [cell for group in self.cells.get(key, {}).values() for cell in group]
        return sum(not self.outputs.files(cell) for cell in cells)

    def grey(self, key: MeanKey, protocol: Protocol) -> bool:
        """Tell whether a grey image is among those of one mean."""
        return any(_is_grey(self._image(group[0], "hr", protocol)) for group in self.cells[key].values())

    def means(self, key: MeanKey, protocol: Protocol, changes: Sequence[Change]) -> dict[Change, float]:
        """Measure a mean again under each change, one image at a time; a change without a finite mean is left out.

        Raises ImageError where a stored picture is damaged.
        """
        found: dict[Change, list[float]] = {change: [] for change in changes}
        for group in self.cells[key].values():
            seeds: dict[Change, list[float]] = {change: [] for change in changes}
            for cell in group:
                for change, value in self._scores(cell, key, protocol, changes).items():
                    seeds[change].append(value)
            for change, values in seeds.items():
                found[change].append(fmean(values))
        return {change: fmean(values) for change, values in found.items() if all(map(math.isfinite, values))}

    def _scores(self, cell: str, key: MeanKey, protocol: Protocol, changes: Sequence[Change]) -> dict[Change, float]:
        hr, lr, sr = (self._image(cell, kind, protocol) for kind in PARTS)
        grey, scale = _is_grey(hr), Decimal(key.scale)
        reference = _reference(hr, protocol, scale) if key.metric.endswith("_lr") else lr
        known: dict[tuple[Protocol, str], float] = {}
        found = {}
        for change in changes:
            which = switched(protocol, change, grey), scored(key.metric, change)
            if which not in known:
                sample = Sample(hr, sr, lr, reference, None, None, scale, which[0], Costs(0, 0))
                known[which] = _measure(sample, which[1])
            found[change] = known[which]
        return found

    def _image(self, cell: str, kind: str, protocol: Protocol) -> torch.Tensor:
        import torch

        from rescale_bench.images.files import read_image

        loaded = read_image(self.outputs.files(cell)[kind])
        image = torch.from_numpy(loaded.pixels).permute(2, 0, 1).contiguous()
        single = protocol.plane == "y" or (kind == "lr" and loaded.grey)
        return image[:1] if single else image


def read_pictures(path: Path, frame: pd.DataFrame) -> Pictures:
    """Find the stored outputs beside a run. path: its folder or its results.parquet. frame: its tidy rows."""
    found: dict[MeanKey, dict[str, list[str]]] = {}
    if "cell" not in frame.columns:
        return Pictures(Outputs(None), {})
    kept = frame[(frame["status"] == "ok") & frame["metric"].isin(SCORES)]
    keys, places = MeanKey.of(kept)
    for place, image, cell in zip(places.tolist(), kept["image"].tolist(), kept["cell"].tolist(), strict=True):
        found.setdefault(keys[place], {}).setdefault(image, []).append(str(cell))
    return Pictures(Run(path).outputs, found)


def _is_grey(hr: torch.Tensor) -> bool:
    """Tell whether an HR image (3, H, W) has three equal channels; the one of a Y protocol is not asked."""
    return hr.shape[0] == 3 and bool((hr == hr[:1]).all())


def _reference(hr: torch.Tensor, protocol: Protocol, scale: Decimal) -> torch.Tensor:
    from rescale_bench.roundtrip.cell import reference_lr

    return reference_lr(hr, protocol, scale, lr_float=False)


def _measure(sample: Sample, metric: str) -> float:
    from rescale_bench.metrics import fidelity

    try:
        return float(getattr(fidelity, metric)(sample, {}))
    except UndefinedValueError:
        return math.nan

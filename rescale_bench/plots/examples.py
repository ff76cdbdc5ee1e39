"""One image of a run with its methods: what pictures of how methods work are drawn from.

The pictures come from the run where it kept them (`run --keep`), else from one forward pass of the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import UnknownNameError, UsageError
from rescale_bench.plots.filters import Options, chosen_methods, placed_rows
from rescale_bench.runs.originals import Wanted, find_originals

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from rescale_bench.api.records import Method, Protocol, Rescaler
    from rescale_bench.api.registry import Registry
    from rescale_bench.runs.folder import Run

MOST_METHODS, MOST_SCALES = 4, 6
"""Rows and columns that a reader can compare."""


@dataclass(frozen=True)
class Example:
    """One cell of a run: an image that a method shrank at a scale.

    row: of the tidy table. crop: the side of the square from the middle that is looked at, 0 for the whole image.
    """

    run: Run
    plugins: Registry
    protocol: Protocol
    row: Any
    crop: int = 0

    @property
    def label(self) -> str:
        """The method as tables name it."""
        return str(self.row.label)

    @property
    def scale(self) -> Decimal:
        """The scale."""
        return Decimal(self.row.scale)

    @property
    def where(self) -> str:
        """Name image and data set for a subtitle."""
        middle = f", {self.crop}×{self.crop} pixels of its middle" if self.crop else ""
        return f"{self.row.image} of {self.row.dataset}{middle} · protocol {self.protocol.name}"

    @cached_property
    def hr(self) -> torch.Tensor:
        """The HR image, uint8 (C, H, W), cut as the protocol wants it. Raises UsageError where it cannot be found."""
        from rescale_bench.images.files import read_image
        from rescale_bench.roundtrip.cell import prepare_hr

        row = self.row
        image = row.image.partition(" {")[0]
        wanted = Wanted(row.dataset, ((image, row.image_sha256),), {image: (row.cell,)})
        (found,) = find_originals(wanted, self.plugins.datasets, self.run)
        loaded = read_image(found.path)
        hr = prepare_hr(loaded.pixels, loaded.grey, self.protocol, self.scale, found.crop)
        if not self.crop:
            return hr
        step = int(self.scale) if self.scale == int(self.scale) else 1
        tops = [max(0, (side - self.crop) // 2) // step * step for side in hr.shape[-2:]]
        return hr[:, tops[0] : tops[0] + self.crop, tops[1] : tops[1] + self.crop].contiguous()

    @cached_property
    def lr(self) -> torch.Tensor:
        """The LR image, uint8 (C, h, w): as the run kept it, else made anew."""
        import torch

        from rescale_bench.images.files import read_image
        from rescale_bench.images.levels import to_levels

        kept = None if self.crop else self.run.outputs.find(self.row.cell, "lr")
        if kept is not None:
            loaded = read_image(kept)
            image = torch.from_numpy(loaded.pixels).permute(2, 0, 1)
            return image[:1] if loaded.grey else image
        torch.manual_seed(0)
        made = self.rescaler.downscale(self.input, float(self.scale))[0].detach().cpu().clamp(0, 1)
        return to_levels(made, "round")

    @cached_property
    def reference(self) -> torch.Tensor:
        """The bicubic LR, uint8 (C, h, w)."""
        from rescale_bench.roundtrip.cell import reference_lr

        return reference_lr(self.hr, self.protocol, self.scale, lr_float=False)

    @property
    def input(self) -> torch.Tensor:
        """The HR as a half takes it: (1, 3, H, W), float32 in [0, 1]."""
        hr = self.hr.float() / 255
        return (hr if hr.shape[0] == 3 else hr.expand(3, -1, -1))[None].contiguous()

    @cached_property
    def rescaler(self) -> Rescaler:
        """The method, built from the weights that the run measured. Raises UsageError where these are not here."""
        from rescale_bench.weights.choice import choose_weights, load_states

        row = self.row
        options = ",".join(filter(None, (row.options, f"weights={row.weights}" if row.weights else "")))
        chosen = self.plugins.choose_method(parse_spec(f"{row.method}:{options}" if options else row.method))
        weights = choose_weights(chosen, self.scale, self.plugins)
        if weights.sha256 != row.weights_sha256:
            raise UsageError(f"{self.label}: the weights of that tag here are not those that the run measured")
        states = load_states(weights.files, self.plugins, chosen.record.traits.derived)
        method: Method = chosen.record
        return method.build(states, "cpu", chosen.options)

    def view(self, name: str, what: str) -> Any:
        """Find what a method shows of itself by its rescaler's method of that name. Raises UsageError without it."""
        found = getattr(self.rescaler, name, None)
        if found is None:
            raise UsageError(f"{self.label} has no {what} to show; choose another with --methods")
        return found


def find_examples(
    run: Run, frame: pd.DataFrame, plugins: Registry, options: Options, image: str = "", crop: int = 0
) -> list[Example]:
    """Choose one image of a run, and all cells of it for the methods and scales asked for.

    image: its name; by default the first of the first data set. Raises UsageError, UnknownNameError.
    """
    rows, name = placed_rows(frame, options)
    rows = rows[(rows["image"] != "") & rows["label"].isin(chosen_methods(rows, options.methods))]
    rows = rows[(rows["status"] == "ok") & (rows["origin"] == "run") & ~rows["ceiling"].astype(bool)]
    if rows.empty:
        raise UsageError("there is nothing to draw: no rows are left after --datasets, --methods, --scales, --codecs")
    names = list(dict.fromkeys(zip(rows["dataset"], rows["image"], strict=True)))
    chosen = next((each for each in names if image in ("", each[1])), None)
    if chosen is None:
        raise UnknownNameError("image of this run", image, {each[1] for each in names})
    rows = rows[(rows["dataset"] == chosen[0]) & (rows["image"] == chosen[1])].drop_duplicates("cell")
    rows = rows.drop_duplicates(["label", "scale"])
    protocol = plugins.choose_protocol(name.partition(" version ")[0])
    return [Example(run, plugins, protocol, row, crop) for row in rows.itertuples(index=False)]


def spread(scales: Sequence[Decimal]) -> list[Decimal]:
    """Choose at most MOST_SCALES of rising scales, evenly, with both ends."""
    if len(scales) <= MOST_SCALES:
        return list(scales)
    last = len(scales) - 1
    return [scales[round(index * last / (MOST_SCALES - 1))] for index in range(MOST_SCALES)]


def cropped(example: Example, side: int) -> Example:
    """Look at a square of the middle alone, where the image is larger."""
    return replace(example, crop=side) if min(example.hr.shape[-2:]) > side else example

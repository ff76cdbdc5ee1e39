"""How EDSR is trained (CVPRW 2017, sec. 3.3 and 4.2), and what a short training takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch.nn import functional

from rescale_bench.api.records import State, States
from rescale_bench.machine.precision import keep_float32
from rescale_bench.networks.edsr import Edsr, EdsrLayout, initial_edsr
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import start_edsr

SIZES = {"edsr": (32, 256, 0.1), "edsr-baseline": (16, 64, 1.0)}
"""Residual blocks, channels, residual scale."""


class EdsrLearner(Learner):
    """L1 between the restored 8-bit bicubic LR and the HR."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with torch's initial weights, or as pixel repetition where the recipe says so."""
        del start
        layout = EdsrLayout(
            int(recipe.layout["blocks"]), int(recipe.layout["width"]), int(recipe.part.removeprefix("x"))
        )
        self.part, self.residual_scale = recipe.part, float(recipe.layout["residual_scale"])
        self.module = Edsr(layout, self.residual_scale)
        self.module.load_state_dict(initial_edsr(layout, seed))
        if recipe.settings["begin"] == "resampler":
            start_edsr(self.module)
        keep_float32([self.module.sub_mean, self.module.add_mean, self.module.tail[1]])

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute the only term, a mean over all pixels."""
        return {"reconstruction": functional.l1_loss(self.module(quantise(batch.lr)), batch.hr)}

    def states(self) -> Mapping[str, State]:
        """Return the network and its residual scale."""
        return {self.part: State(self.module.state_dict(), {"residual_scale": str(self.residual_scale)})}


def _paper(method: str, part: str) -> Recipe:
    blocks, width, residual_scale = SIZES[method]
    scale = int(part.removeprefix("x"))
    return Recipe(
        name="paper",
        method=method,
        part=part,
        summary="L1 on the bicubic LR; 300k steps",
        source="CVPRW 2017, sec. 3.3 and 4.2",
        learner=EdsrLearner,
        losses={"reconstruction": 1.0},
        steps=300_000,
        batch=16,
        patch=48 * scale,
        scales=(str(scale),),
        adam=Adam(1e-4),
        schedule=Schedule("steps", (200_000,)),
        layout={"blocks": blocks, "width": width, "residual_scale": residual_scale},
        settings={"begin": "torch"},
        validate_as=f"bicubic+{method}",
    )


def _small(paper: Recipe) -> Recipe:
    return replace(
        paper,
        name="small",
        summary="narrow network for minutes of a CPU, begun as pixel repetition; L1 on the bicubic LR",
        steps=20_000,
        batch=4,
        patch={"x2": 64, "x3": 72, "x4": 96}[paper.part],
        adam=Adam(1e-3),
        schedule=Schedule("cosine", warmup=0.05),
        layout={**paper.layout, "blocks": 8, "width": 40},
        settings={"begin": "resampler"},
        precision="auto",
        fits_budget=True,
        validations=10,
    )


def recipes() -> Iterable[Recipe]:
    """Yield the recipes of the large model and of the baseline."""
    for part in ("x2", "x3", "x4"):
        for method in SIZES:
            yield _paper(method, part)
        small = _small(_paper("edsr-baseline", part))
        yield small
        # At 1e-3 without clipping a training of 52 minutes lost 1 dB on its way.
        text = "the weights that ship: small, longer, at half the rate"
        yield replace(small, name="base", summary=text, steps=60_000, adam=Adam(5e-4), clip=1.0)

"""How FGRN is trained (BMVC 2021, sec. 3.4), its ablation (Table 3), and what a short training takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch

from rescale_bench.api.records import State, States
from rescale_bench.machine.precision import keep_float32
from rescale_bench.networks.loading import fresh_tensors
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.losses import absolutes
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import hush, pass_colours

from .network import LAYOUTS, FlowGuidedNetwork, Layout, ResidualTrunk
from .rescaler import BOUNDED


class FgrnLearner(Learner):
    """Reconstruction and range for Gd and Gu, guidance and volume for F alone; sums over pixels, means over the batch.

    The split of the gradients lies in the network: the flow sees a detached x, and L_rec never meets the flow.
    """

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with Kaiming weights, or as a plain image resampler where the recipe says so."""
        del start
        layout = recipe.layout
        self.part, self.guided = recipe.part, "direct" in recipe.losses
        build = partial(
            FlowGuidedNetwork,
            Layout(
                LAYOUTS[recipe.part].scale,
                blocks=int(layout["blocks"]),
                cells=int(layout["cells"]),
                channels=int(layout["channels"]),
                growth=int(layout["growth"]),
                bounded=bool(layout["bounded"]),
            ),
        )
        self.module = self.network = build()
        self.network.load_state_dict(fresh_tensors(build, seed))
        if recipe.settings["begin"] == "resampler":
            begin_as_resampler(self.network)
        keep_float32([self.network.down.tail, self.network.up.tail])

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute L_rec and the two parts of L_guide."""
        found = self.network(batch.hr)
        return {
            "reconstruction": absolutes(found.restored - batch.hr),
            "guidance": absolutes(found.guided - batch.lr),
            "range": absolutes(found.squeezed - found.squeezed.detach().clamp(0, 1)),
            # −log|det| of the flow: how little it expands.
            "volume": -found.log_det.float().mean(),
        }

    def states(self) -> Mapping[str, State]:
        """Return the network and whether β is bounded."""
        bounded = str(self.network.layout.bounded).lower()
        return {self.part: State(self.network.state_dict(), {BOUNDED: bounded})}


class AblationLearner(FgrnLearner):
    """Table 3's rivals: no guidance (DU_none), or Gd itself drawn to bicubic (DU_bic); the flow stays the identity."""

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute L_rec and, for DU_bic, the distance of x to the bicubic LR."""
        x = self.network.squeeze(batch.hr)
        terms = {"reconstruction": absolutes(self.network.restore(quantise(x)) - batch.hr)}
        return {**terms, "direct": absolutes(x - batch.lr)} if self.guided else terms


def begin_as_resampler(network: FlowGuidedNetwork) -> None:
    """Let Gd begin as the block average and Gu as pixel repetition."""
    pixels = network.layout.scale**2
    blocks = [list(range(colour * pixels, (colour + 1) * pixels)) for colour in range(3)]
    copies = [[colour] for colour in range(3) for _ in range(pixels)]
    _begin(network.down, blocks, [[0], [1], [2]])
    _begin(network.up, [[0], [1], [2]], copies)


def _begin(trunk: ResidualTrunk, head: list[list[int]], tail: list[list[int]]) -> None:
    pass_colours(trunk.head, head)
    pass_colours(trunk.tail, tail)
    hush([trunk.closing])


def _paper(part: str) -> Recipe:
    published = LAYOUTS[part]
    layout = {"blocks": published.blocks, "cells": published.cells, "channels": 64, "growth": 32, "bounded": True}
    return Recipe(
        name="paper",
        method="fgrn",
        part=part,
        summary="L_rec for Gd and Gu, L_guide for the flow; 10⁶ steps (the paper gives no number)",
        source="BMVC 2021, sec. 3.4 and 4",
        learner=FgrnLearner,
        # "range" is ours: gradients pass straight through the clamp, so nothing else keeps Gd's output within [0, 1],
        # and trainings without it ran off to 1e12 after some 1,500 steps.
        losses={"reconstruction": 1.0, "guidance": 1.0, "volume": 1e-3, "range": 10.0},
        steps=1_000_000,
        batch=36,
        patch=192,
        scales=(part.removeprefix("x"),),
        adam=Adam(3e-4),
        schedule=Schedule("steps", (200_000, 400_000, 600_000, 800_000)),
        layout=layout,
        settings={"begin": "kaiming"},
    )


def _small(paper: Recipe) -> Recipe:
    wide = {"x2": {"blocks": 5, "cells": 2}, "x4": {"blocks": 8, "cells": 2}}[paper.part]
    return replace(
        paper,
        name="small",
        summary=f"narrow network for minutes of a CPU, begun as a resampler; {paper.summary.partition(';')[0]}",
        steps=20_000,
        # Many small steps beat few large ones: after 45 s of one core, x2 is at 34.7 dB with 48 pixels, 31.4 with 96.
        batch={"x2": 4, "x4": 2}[paper.part],
        patch={"x2": 48, "x4": 96}[paper.part],
        # At 8e-4 x4 ran off after some 900 steps.
        adam=Adam({"x2": 8e-4, "x4": 3e-4}[paper.part]),
        schedule=Schedule("cosine", warmup=0.05),
        layout={**paper.layout, **wide, "channels": 40, "growth": 16},
        settings={"begin": "resampler"},
        clip=10.0,
        precision="auto",
        fits_budget=True,
        validations=10,
    )


def _ablation(recipe: Recipe, name: str, summary: str, losses: Mapping[str, float]) -> Recipe:
    name = name if recipe.name == "paper" else f"{name}-{recipe.name}"
    return replace(recipe, name=name, summary=summary, learner=AblationLearner, losses=losses)


def recipes() -> Iterable[Recipe]:
    """Yield the paper's recipe, the short one, and the ablation in both sizes."""
    for part in LAYOUTS:
        paper = _paper(part)
        for recipe in (paper, _small(paper)):
            yield recipe
            yield _ablation(recipe, "du-none", "Table 3, DU_none: no guidance", {"reconstruction": 1.0})
            direct = {"reconstruction": 1.0, "direct": 1.0}
            yield _ablation(recipe, "du-bic", "Table 3, DU_bic: Gd drawn to the bicubic LR", direct)
        yield replace(_small(paper), name="base", summary="the weights that ship: small, longer", steps=60_000)

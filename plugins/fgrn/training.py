"""How FGRN is trained (BMVC 2021, sec. 3.4), its ablation (Table 3), and what a short training takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch

from rescale_bench.interfaces import State, States
from rescale_bench.networks.loading import fresh_tensors
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.losses import absolutes
from rescale_bench.training.precision import keep_float32
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import hush, pass_colours

from .network import LAYOUTS, FlowGuidedNetwork, Layout, ResidualTrunk
from .rescaler import BOUNDED


class FgrnLearner(Learner):
    """Reconstruction for Gd and Gu, guidance and volume for F alone; sums over pixels, means over the batch.

    The split of the gradients lies in the network: the flow sees a detached x, and L_rec never meets the flow.
    """

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with Kaiming weights, or as a plain image resampler where the recipe says so."""
        del start
        layout = recipe.layout
        self.part, self.wanted = recipe.part, set(recipe.losses)
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
        """Compute the terms that the recipe weighs: L_rec, L_guide's two parts, or the ablation's direct guidance."""
        x = self.network.squeeze(batch.hr)
        found = self.network(batch.hr) if self.wanted & {"guidance", "volume"} else None
        if found is None:
            return self._ablation(batch, x)
        return {
            "reconstruction": absolutes(found.restored - batch.hr),
            "guidance": absolutes(found.guided - batch.lr),
            # −log|det| of the flow: how little it expands.
            "volume": -found.log_det.float().mean(),
        }

    def _ablation(self, batch: Batch, x: torch.Tensor) -> Mapping[str, torch.Tensor]:
        raise NotImplementedError

    def states(self) -> Mapping[str, State]:
        """Return the network and whether β is bounded."""
        bounded = str(self.network.layout.bounded).lower()
        return {self.part: State(self.network.state_dict(), {BOUNDED: bounded})}

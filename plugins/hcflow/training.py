"""How HCFlow is trained (ICCV 2021), and what a short training takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional

from rescale_bench.api.records import State, States
from rescale_bench.machine.precision import keep_float32
from rescale_bench.networks.latent import LATENT
from rescale_bench.networks.loading import fresh_tensors
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import widen

from .layers import Permutation
from .network import HcFlow, Layout
from .rescaler import PART

LARGEST_GRADIENT = 5.0
"""Of a single value, before the gradient's norm is looked at."""


class HcFlowLearner(Learner):
    """Reconstruction (L1), guidance and latent (mean squares); means over all values."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with a fresh network."""
        del start
        build = partial(HcFlow, Layout(**{name: int(value) for name, value in recipe.layout.items()}))
        self.module = self.network = build()
        self.network.load_state_dict(fresh_tensors(build, seed))
        widen(self.network, float(recipe.settings["gain"]))
        self.latent = str(recipe.settings["z"])
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                parameter.register_hook(_clipped)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        matrices = [module for module in self.network.modules() if isinstance(module, Permutation)]
        keep_float32(matrices, ("forward", "inverse"))

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute the three terms; those that are not finite are left out, as the authors do, unless none is."""
        sent = self.network(batch.hr)
        lr = quantise(sent.lr.float())
        noise = (self._noise(batch, shape) for shape in reversed(self.network.latent_shapes(lr)))
        second, first = (drawn.to(lr.device) for drawn in noise)
        restored = self.network.inverse(lr, first, second)
        squared = torch.cat([z.float().flatten() for z in (sent.first, sent.second)]).square()
        terms = {
            "reconstruction": functional.l1_loss(restored.float(), batch.hr),
            "guidance": functional.mse_loss(sent.lr.float(), batch.lr),
            "latent": squared.mean(),
        }
        return {name: term for name, term in terms.items() if bool(term.isfinite())} or terms

    def states(self) -> Mapping[str, State]:
        """Return the network, and which latent it learned with."""
        return {PART: State(self.network.state_dict(), {LATENT: self.latent})}

    def _noise(self, batch: Batch, shape: torch.Size) -> torch.Tensor:
        empty = torch.zeros(shape)
        return batch.normal(empty) if self.latent == "gaussian" else empty


def _clipped(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)


def recipes() -> Iterable[Recipe]:
    """Yield the paper's recipe and the short one."""
    paper = Recipe(
        name="paper",
        method="hcflow",
        part=PART,
        summary="L1, guidance and latent terms at heat 1; 500k steps, without the authors' restarts",
        source="ICCV 2021, sec. 3 and 4",
        learner=HcFlowLearner,
        losses={"reconstruction": 1.0, "guidance": 0.05, "latent": 1e-5},
        steps=500_000,
        batch=16,
        patch=160,
        scales=("4",),
        adam=Adam(2.5e-4, 0.9, 0.99),
        schedule=Schedule("steps", (100_000, 200_000, 300_000, 400_000, 450_000)),
        clip=100,
        layout=dict(vars(Layout())),
        settings={"z": "gaussian", "gain": 1.0},
        options={"z": "zero"},
    )
    yield paper
    small = {"steps": 4, "conditional": 2, "blocks": 1, "channels": 24, "growth": 16, "condition_growth": 8}
    yield replace(
        paper,
        name="small",
        summary="narrow network for minutes of a CPU, z = 0; L1, guidance and latent terms",
        steps=20_000,
        batch=2,
        patch=80,
        adam=Adam(1e-3, 0.9, 0.99),
        schedule=Schedule("cosine", warmup=0.05),
        clip=1.0,
        layout=small,
        settings={"z": "zero", "gain": 10.0},
        precision="auto",
        fits_budget=True,
        validations=10,
    )

"""How T-IRN and T-SAIN are trained (AAAI 2025), and what a short training takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch

from rescale_bench.api.records import State, States
from rescale_bench.networks.loading import fresh_tensors
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.asymmetric import AsymmetricLearner, Received, Sent, asymmetric_losses
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.losses import charbonnier, squares
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import widen

from .network import Layout, TriBranchNetwork
from .rescaler import LAYOUTS

SMALL = {
    ("t-irn", "x2"): (Layout(3), 48),
    ("t-irn", "x4"): (Layout(1, 3), 96),
    ("t-sain", "x2"): (Layout(2, after=1), 64),
    ("t-sain", "x4"): (Layout(1, 2, after=1), 128),
}
"""Blocks and patch of the short trainings."""


def _network(recipe: Recipe, seed: int) -> TriBranchNetwork:
    """Begin with IRN's initial weights, those of the dense blocks multiplied by the setting `gain`."""
    build = partial(TriBranchNetwork, Layout(**{name: int(value) for name, value in recipe.layout.items()}))
    network = build()
    network.load_state_dict(fresh_tensors(build, seed))
    widen(network, float(recipe.settings["gain"]))
    return network


def _restored(network: TriBranchNetwork, lr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return network.inverse(lr, lr.new_zeros((len(lr), network.layout.details, *lr.shape[-2:])))


class TirnLearner(Learner):
    """Reconstruction and guidance: sums over pixels and channels, means over the batch; z = 0."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with a fresh network."""
        del start
        self.part = recipe.part
        self.module = self.network = _network(recipe, seed)

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute both terms."""
        lr = self.network.downscale(batch.hr)
        restored, _ = _restored(self.network, quantise(lr.float()))
        return {"reconstruction": charbonnier(restored - batch.hr), "guidance": squares(lr - batch.lr)}

    def states(self) -> Mapping[str, State]:
        """Return the network."""
        return {self.part: State(self.network.state_dict())}


class TsainLearner(AsymmetricLearner):
    """T-SAIN: SAIN's terms, z = 0."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with a fresh network."""
        del start
        self.part, self.quality = recipe.part, int(recipe.settings["quality"])
        self.module = self.network = _network(recipe, seed)

    def send(self, hr: torch.Tensor) -> Sent:
        """Run the forward pass."""
        found = self.network(hr)
        return Sent(found.lr, found.compressed)

    def receive(self, lr: torch.Tensor, batch: Batch) -> Received:
        """Run the inverse pass."""
        return Received(*_restored(self.network, lr))

    def states(self) -> Mapping[str, State]:
        """Return the network."""
        return {self.part: State(self.network.state_dict())}


def _paper(method: str, part: str) -> Recipe:
    steps = 800_000 if (method, part) == ("t-irn", "x2") else 600_000
    halved = 40_000 if (method, part) == ("t-irn", "x4") else 100_000
    plain = method == "t-irn"
    return Recipe(
        name="paper",
        method=method,
        part=part,
        summary=f"{'reconstruction and guidance' if plain else 'the terms of SAIN at JPEG 75'}; {steps // 1000}k steps",
        source="AAAI 2025",
        learner=TirnLearner if plain else TsainLearner,
        losses={"reconstruction": 1.0, "guidance": 0.25} if plain else asymmetric_losses(1.0),
        steps=steps,
        batch=16,
        patch=128,
        scales=(part.removeprefix("x"),),
        adam=Adam(2e-4, decay=1e-5),
        schedule=Schedule("steps", tuple(range(halved, steps, halved))),
        clip=10,
        layout=dict(vars(LAYOUTS[method][part])),
        settings={"gain": 1.0} if plain else {"gain": 1.0, "quality": 75},
    )


def _small(paper: Recipe) -> Recipe:
    layout, patch = SMALL[paper.method, paper.part]
    return replace(
        paper,
        name="small",
        summary=f"narrow network for minutes of a CPU; {paper.summary.partition(';')[0]}",
        steps=20_000,
        batch=2,
        patch=patch,
        adam=Adam(2e-3),
        schedule=Schedule("cosine", warmup=0.05),
        layout={**vars(layout), "growth": 16},
        settings={**paper.settings, "gain": 10.0},
        precision="auto",
        fits_budget=True,
        validations=10,
    )


def recipes() -> Iterable[Recipe]:
    """Yield the paper's recipe and the short one of both methods for both scales."""
    for method, part in SMALL:
        paper = _paper(method, part)
        yield from (paper, _small(paper))

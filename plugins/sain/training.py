"""How SAIN is trained (AAAI 2023), and what a short training takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional

from rescale_bench.api.records import State, States
from rescale_bench.networks.latent import LATENT
from rescale_bench.networks.loading import fresh_tensors
from rescale_bench.training.asymmetric import AsymmetricLearner, Received, Sent, asymmetric_losses
from rescale_bench.training.learner import Batch
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import widen

from .network import LAYOUTS, Layout, Mixture, Sain
from .rescaler import MEAN, MIXTURE

SMALL = {"x2": (4, 2, 64), "x4": (6, 2, 128)}
"""E blocks, V blocks and patch of the short trainings."""


class SainLearner(AsymmetricLearner):
    """SAIN with a latent from its mixture, drawn for each element or its mean."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with IRN's initial weights, those of the dense blocks multiplied by the setting `gain`."""
        del start
        self.part, self.latent, layout = recipe.part, str(recipe.settings["z"]), recipe.layout
        self.quality = int(recipe.settings["quality"])
        build = partial(
            Sain,
            Layout(LAYOUTS[recipe.part].scale, int(layout["enhanced"]), int(layout["plain"]), int(layout["growth"])),
        )
        self.module = self.network = build()
        self.network.load_state_dict(fresh_tensors(build, seed))
        widen(self.network, float(recipe.settings["gain"]))

    def send(self, hr: torch.Tensor) -> Sent:
        """Run the forward pass."""
        found = self.network(hr)
        return Sent(found.lr, found.compressed)

    def receive(self, lr: torch.Tensor, batch: Batch) -> Received:
        """Run the inverse pass."""
        shape = torch.Size((len(lr), self.network.layout.channels - lr.shape[1], *lr.shape[-2:]))
        mixture = self.network.gmm
        latent = drawn(mixture, lr.new_empty(shape), batch) if self.latent == MIXTURE else mixture.mean().expand(shape)
        return Received(*self.network.inverse(lr, latent))

    def states(self) -> Mapping[str, State]:
        """Return the network, and which latent it learned with."""
        return {self.part: State(self.network.state_dict(), {LATENT: self.latent})}


def drawn(mixture: Mixture, like: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Draw a latent whose gradient reaches all parameters of the mixture.

    The choice of a Gaussian passes its gradient straight through to the shares; the paper does not say how its does.
    """
    shares = mixture.shares
    chosen = torch.multinomial(shares.detach().cpu(), like.numel(), replacement=True, generator=batch.generator)
    picked = functional.one_hot(chosen.view(like.shape), len(shares)).to(shares)
    picked = picked + shares - shares.detach()
    return (picked * (mixture.means + mixture.deviations * batch.normal(like)[..., None])).sum(-1)


def _paper(part: str) -> Recipe:
    published = LAYOUTS[part]
    return Recipe(
        name="paper",
        method="sain",
        part=part,
        summary="reconstruction through soft JPEG 75, and four terms that simulate JPEG; 500k steps",
        source="AAAI 2023, sec. 3 and 4.1",
        learner=SainLearner,
        losses=asymmetric_losses(published.scale**2),
        steps=500_000,
        batch=16,
        patch=128,
        scales=(part.removeprefix("x"),),
        adam=Adam(2e-4, decay=1e-5),
        schedule=Schedule("steps", (100_000, 200_000, 300_000, 400_000)),
        clip=10,
        layout={"enhanced": published.enhanced, "plain": published.plain, "growth": published.growth},
        settings={"z": MIXTURE, "quality": 75, "gain": 1.0},
    )


def _small(paper: Recipe) -> Recipe:
    enhanced, plain, patch = SMALL[paper.part]
    return replace(
        paper,
        name="small",
        summary=f"narrow network for minutes of a CPU; {paper.summary.partition(';')[0]}",
        steps=20_000,
        batch=2,
        patch=patch,
        adam=Adam(2e-3),
        schedule=Schedule("cosine", warmup=0.05),
        layout={"enhanced": enhanced, "plain": plain, "growth": 16},
        settings={"z": MEAN, "quality": 75, "gain": 10.0},
        precision="auto",
        fits_budget=True,
        validations=10,
    )


def recipes() -> Iterable[Recipe]:
    """Yield the paper's recipe and the short one for both scales."""
    for part in LAYOUTS:
        paper = _paper(part)
        yield from (paper, _small(paper))

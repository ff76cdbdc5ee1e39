"""A few steps of a recipe on one batch: enough to see whether its losses pull the right way."""

from decimal import Decimal

import torch

from rescale_bench.training.learner import MODEL, Batch
from rescale_bench.training.losses import weighted_sum
from rescale_bench.training.pool import bicubic
from rescale_bench.training.recipe import changed, recipes_of


def small_recipe(method, part, changes, name="small"):
    """Pick a recipe of a method's record and change it."""
    (found,) = [recipe for recipe in recipes_of(method) if (recipe.name, recipe.part) == (name, part)]
    return changed(found, changes)


def smooth_batch(scale, side=32, count=2, step=0):
    """Make a batch of smooth random crops in 8-bit levels, with their bicubic LR."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 3, side // 4 + 1, side // 4 + 1, generator=generator)
    hr = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear").mul(255).round().div(255)
    return Batch(hr, bicubic(hr, Decimal(scale)), Decimal(scale), step, torch.Generator().manual_seed(5 + step))


def losses(recipe, steps=12, rate=1e-3, side=16):
    """Train on one batch with Adam; return the weighted loss of every step, drawn latents alike in all of them."""
    learner = recipe.learner(recipe, {}, 0)
    learner.module.train()
    parameters = [parameter for found in learner.players().values() for parameter in found]
    optimizer = torch.optim.Adam(parameters, rate)
    found = []
    for _ in range(steps):
        loss = weighted_sum(learner.terms(smooth_batch(recipe.scales[0], side), MODEL), recipe.losses)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found, learner

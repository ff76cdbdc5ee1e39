"""How AIDN is trained (arXiv 2201.12576, sec. 3.4 and 4.1), and what a short training takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.api.records import State, States
from rescale_bench.errors import UsageError
from rescale_bench.machine.precision import keep_float32
from rescale_bench.training.learner import Batch, Learner
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import hush, pass_colours

from .layout import AidnLayout
from .network import Aidn, AidnHalf, initial_aidn
from .resampling import ConditionalResampling

SCALES = tuple(f"{tenth // 10}.{tenth % 10}".removesuffix(".0") for tenth in range(11, 41))
"""1.1, 1.2, …, 4 (sec. 4.1)."""

EPOCH = 1000
"""Steps of an epoch; the paper counts its 300 epochs without saying how long one is."""


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, alpha: float, span: int) -> torch.Tensor:
        ctx.save_for_backward(image)
        ctx.alpha, ctx.span = alpha, span
        return (image.clamp(0, 1) * 255).round() / 255

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (image,) = ctx.saved_tensors
        value = image.clamp(0, 1) * ctx.span
        return gradients[0] * (1 - ctx.alpha * torch.cos(2 * math.pi * value)), None, None


def quantise(image: torch.Tensor, alpha: float = 0.5, span: int = 255) -> torch.Tensor:
    """Clamp an image of any shape to [0, 1] and round it to multiples of 1/255 (arXiv 2201.12576, Eq. 4).

    The gradient is multiplied by 1 − α·cos(2πv). span: 255 takes v in 8-bit levels, as Eq. 4 means it;
    1 takes v in [0, 1], as the published code does.
    """
    result: torch.Tensor = _Quantise.apply(image, alpha, span)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return result


class AidnLearner(Learner):
    """Guidance (mean squared error of the unquantised LR) and reconstruction (L1) through the soft quantiser."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with torch's initial weights, or as bilinear resampling where the recipe says so."""
        del start
        sizes: dict[str, Any] = {name: int(value) for name, value in recipe.layout.items()}
        layout = AidnLayout(**sizes)
        self.module = self.network = Aidn(layout)
        self.network.load_state_dict(initial_aidn(layout, seed))
        halves = (self.network.down_net, self.network.up_net)
        if recipe.settings["begin"] == "resampler":
            for half in halves:
                begin_as_bilinear(half)
        self.alpha = float(recipe.settings["alpha"])
        # Coordinates do not survive bf16, nor do pixels.
        for half in halves:
            keep_float32([half.sub_mean, half.add_mean, half.sa_sample, half.tail])

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute both terms, means over all pixels, at the batch's scale."""
        scale, size = float(batch.scale), (batch.hr.shape[-2], batch.hr.shape[-1])
        lr = self.network.down(batch.hr, scale, (batch.lr.shape[-2], batch.lr.shape[-1]))
        restored = self.network.up(quantise(lr, self.alpha), scale, size)
        return {
            "guidance": functional.mse_loss(lr.float(), batch.lr),
            "reconstruction": functional.l1_loss(restored.float(), batch.hr),
        }

    def states(self) -> Mapping[str, State]:
        """Return both halves in one state, as published."""
        return {"any": State(self.network.state_dict())}


def begin_as_bilinear(half: AidnHalf) -> None:
    """Let a half begin as bilinear sampling of the image itself."""
    last, module = half.body[half.layout.blocks], half.sa_sample
    if not isinstance(module, ConditionalResampling):
        raise UsageError("settings.begin=resampler needs layout.crm=true", "changes")
    for layer, sources in ((half.head[0], 3), (half.tail[1], 3)):
        if isinstance(layer, nn.Conv2d):
            pass_colours(layer, [[colour] for colour in range(sources)])
    hush([last, module.offset])
    with torch.no_grad():
        module.weight_expand.mul_(0.3)
    turn_to_quadrants(module)


@torch.no_grad()
def turn_to_quadrants(module: ConditionalResampling) -> None:
    """Let each of the first four experts begin with its own quadrant around a source pixel.

    torch's initial routing hardly knows where in its pixel an output pixel lies, and minutes are short to learn it.
    """
    first, second, routing = (cast(nn.Conv2d, layer) for layer in (module.body[0], module.body[2], module.routing[0]))
    for index, (down, right) in enumerate(itertools.islice(itertools.product((-1, 1), repeat=2), routing.out_channels)):
        for layer in (first, second, routing):
            layer.weight[index] = 0
            cast(torch.Tensor, layer.bias)[index] = 0
        # At ×2 the four positions lie a quarter of a pixel off: 2 in the own quadrant, then ±4 before the sigmoid.
        first.weight[index, 2, 0, 0], first.weight[index, 3, 0, 0] = 4 * down, 4 * right
        second.weight[index, index] = 1
        routing.weight[index, index] = 4
        cast(torch.Tensor, routing.bias)[index] = -4


def _paper() -> Recipe:
    published = AidnLayout()
    return Recipe(
        name="paper",
        method="aidn",
        part="any",
        summary="scales 1.1 to 4 with probability ∝ s², guidance and L1; 300 epochs, without pre-training",
        source="arXiv 2201.12576, sec. 3.4 and 4.1; the authors also pre-train at ×4",
        learner=AidnLearner,
        losses={"guidance": 1.0, "reconstruction": 1.0},
        steps=300 * EPOCH,
        batch=16,
        patch=192,
        scales=SCALES,
        scale_weight="square",
        early_scales=("2", "3", "4"),
        early_steps=EPOCH,
        adam=Adam(1e-4),
        schedule=Schedule("steps", tuple(60 * EPOCH * part for part in (1, 2, 3, 4))),
        layout=dict(vars(published)),
        settings={"alpha": 0.5, "begin": "torch"},
        validate=("1.5", "2.5", "4"),
    )


def recipes() -> Iterable[Recipe]:
    """Yield the paper's recipe, its ablation and the short one."""
    paper = _paper()
    yield paper
    for name, part, text in (
        ("no-crm", "crm", "Table 3: pixel shuffle in place of the conditional resampling module"),
        ("no-content", "content", "Table 3: conditional resampling that does not see the features"),
    ):
        yield replace(paper, name=name, summary=text, layout={**paper.layout, part: False})
    small = replace(
        paper,
        name="small",
        summary="narrow network for minutes of a CPU, begun as bilinear sampling; scales 1.1 to 4, P ∝ s²",
        steps=20_000,
        batch=2,
        patch=64,
        early_scales=(),
        early_steps=0,
        adam=Adam(1e-3),
        schedule=Schedule("cosine", warmup=0.05),
        layout={**paper.layout, "blocks": 8, "width": 32, "mask_width": 8, "routing_width": 32, "experts": 4,
                "reduced": 8},
        settings={"alpha": 0.5, "begin": "resampler"},
        clip=1.0,
        precision="auto",
        fits_budget=True,
        validations=10,
        validate=("1.5", "2", "4"),
    )  # fmt: skip
    yield small
    # In proportion to s², 3 % of the steps saw scales below 1.4, and were poor there.
    yield replace(
        small, name="base", summary="the weights that ship: small, all scales equally often", scale_weight="equal"
    )

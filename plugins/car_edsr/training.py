"""How CAR and its EDSR are trained together (TIP 2020, sec. 3.4 and 4.1), and what a short training takes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import nnls
from torch import nn
from torch.nn import functional

from rescale_bench.api.records import State, States
from rescale_bench.images.resize import Cubic
from rescale_bench.machine.precision import keep_float32
from rescale_bench.networks.edsr import Edsr, EdsrLayout, initial_edsr, load_edsr
from rescale_bench.training.learner import MODEL, Batch, Learner
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import hush, start_edsr

from .kernels import KernelLayout, KernelNetwork, Resampling, initial_kernels
from .sampler import resample

UNDER_ROOT = 1e-12
"""Added under the root of the offset distance, whose gradient at 0 is not a number without it."""

LEAST = 1e-3
"""Smallest weight of a tap at a short training's start: below 1e-6 the clamp would stop its gradient."""

BICUBIC = Cubic(0, 1 / 2)
"""Keys' kernel with a = −1/2."""

RESAMPLER = "resampler"
"""The player that owns kernels and offsets where they take turns with EDSR."""


def soft_round(values: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Compute x − α·sin(2πx)/2π (TIP 2020, sec. 3.3): a smooth stand-in for rounding, equal to it at every whole x."""
    return values - alpha * torch.sin(2 * math.pi * values) / (2 * math.pi)


def quantise_softly(image: torch.Tensor, alpha: float = 1.0) -> torch.Tensor:
    """Clamp an image of any shape to [0, 1] and round it to multiples of 1/255.

    The value is exact; the gradient is that of soft_round on 0..255, 1 − α·cos(2πx).
    """
    levels = image.clamp(0, 1) * 255
    soft = soft_round(levels, alpha)
    return (soft + (levels.round() - soft).detach()) / 255


class CarLearner(Learner):
    """Kernels and offsets down, soft rounding, EDSR up: L1, offset distance and partial total variation.

    The setting `pace` says who learns: 1, both in every step, as in the paper; n, EDSR alone but for every n-th step,
    which is the kernels'. In a short training an LR that moves in every step leaves EDSR behind: after 2 minutes at
    x2, 24.8 dB with 1, 25.7 dB with 4 (RGB, four images held out).
    """

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin EDSR with the given weights, or both with torch's, or as bicubic down and pixel repetition up."""
        layout, self.scale = recipe.layout, int(recipe.part.removeprefix("x"))
        early, middle, width, blocks = (int(layout[name]) for name in ("early", "middle", "width", "kernel_blocks"))
        sizes = KernelLayout(self.scale, early, middle, width, blocks, bool(layout["offsets"]))
        self.kernels = KernelNetwork(sizes)
        self.kernels.load_state_dict(initial_kernels(sizes, seed))
        self.residual_scale, self.eta = float(layout["residual_scale"]), float(recipe.settings["eta"])
        self.pace, self.weighed = int(recipe.settings["pace"]), frozenset(recipe.losses)
        self.restorer = self._restorer(recipe, start, seed)
        if (begin := str(recipe.settings["begin"])) in BEGIN:
            begin_as(self.kernels, BEGIN[begin](self.scale))
            if f"usn-{recipe.part}" not in start:
                start_edsr(self.restorer)
        self.module = nn.ModuleDict({"kgn": self.kernels, "usn": self.restorer})
        edges = [self.kernels.sub_mean, self.restorer.sub_mean, self.restorer.add_mean, self.restorer.tail[1]]
        keep_float32([*edges, *(head[-1] for head in self.kernels.heads())])

    def _restorer(self, recipe: Recipe, start: States, seed: int) -> Edsr:
        part = f"usn-{recipe.part}"
        if part in start:
            return load_edsr(start[part].tensors, self.residual_scale, "cpu", f"{recipe} start")
        layout = EdsrLayout(int(recipe.layout["blocks"]), int(recipe.layout["channels"]), self.scale)
        network = Edsr(layout, self.residual_scale)
        network.load_state_dict(initial_edsr(layout, seed))
        return network

    def players(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Give both networks to the model, or each its own player."""
        if self.pace == 1:
            return super().players()
        parts = {MODEL: self.restorer, RESAMPLER: self.kernels}
        return {name: [found for found in part.parameters() if found.requires_grad] for name, part in parts.items()}

    def turn(self, step: int) -> Sequence[str]:
        """Let the kernels learn in the last of every `pace` steps."""
        return (RESAMPLER,) if self.pace > 1 and step % self.pace == self.pace - 1 else (MODEL,)

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute L1, a mean over all pixels, and where the kernels learn the other two terms."""
        # EDSR's own turn needs no gradient of the kernels.
        with torch.set_grad_enabled(self.pace == 1 or player == RESAMPLER):
            by = self.kernels(batch.hr)
        # The sampler gathers by rows of pixels and takes its neighbours' weights in float32.
        with torch.autocast(batch.hr.device.type, enabled=False):
            by = Resampling(*(field.float() for field in by))
            lr = quantise_softly(resample(batch.hr, by, self.scale))
        terms = {"reconstruction": functional.l1_loss(self.restorer(lr), batch.hr)}
        if by.kernels.requires_grad:
            terms |= {"offset": offset_distance(by, self.eta), "variation": partial_variation(by)}
        return {name: term for name, term in terms.items() if name in self.weighed}

    def states(self) -> Mapping[str, State]:
        """Return both networks; EDSR with its residual scale."""
        usn = State(self.restorer.state_dict(), {"residual_scale": str(self.residual_scale)})
        return {f"kgn-x{self.scale}": State(self.kernels.state_dict()), f"usn-x{self.scale}": usn}


def offset_distance(by: Resampling, eta: float = 1.0) -> torch.Tensor:
    """Compute Σ (η + √(Δx² + Δy²))·w over the taps of a kernel, mean over LR pixels and batch (sec. 3.4).

    w is the tap's distance from the kernel's centre over the kernel's side; offsets are in the network's units.
    """
    side = math.isqrt(by.kernels.shape[1])
    place = torch.arange(side, device=by.kernels.device) - (side - 1) / 2
    distance = (place[:, None].square() + place.square()).sqrt().flatten() / side
    moved = (by.offsets_h.square() + by.offsets_v.square() + UNDER_ROOT).sqrt()
    return ((eta + moved) * distance[:, None, None]).sum(1).mean()


def partial_variation(by: Resampling) -> torch.Tensor:
    """Compute the partial total variation of the offsets, summed over an image, mean over the batch (sec. 3.4).

    |Δ of vertical offsets| between horizontal neighbours and |Δ of horizontal offsets| between vertical ones,
    each times the kernel at the first of the two.
    """
    across = by.offsets_v.diff(dim=3).abs() * by.kernels[..., :-1]
    down = by.offsets_h.diff(dim=2).abs() * by.kernels[:, :, :-1]
    return (across.sum() + down.sum()) / len(by.kernels)


@torch.no_grad()
def begin_as(network: KernelNetwork, taps: torch.Tensor) -> None:
    """Let the kernels begin as the outer product of taps (3·scale + 1,), everywhere alike, and the offsets near 0."""
    # Strongly hushed: 49 noisy taps would add up to more than the kernel's own.
    hush((head[-1] for head in network.heads()), 0.03)
    last = network.kernels_weight[-1]
    if isinstance(last, nn.Conv2d) and last.bias is not None:
        last.bias.copy_((taps[:, None] * taps).flatten().clamp(min=LEAST))


def cut_bicubic(scale: int) -> torch.Tensor:
    """Sample antialiased bicubic at the taps; begin_as leaves out its negative lobes. The LR is blurred."""
    side = 3 * scale + 1
    return torch.from_numpy(BICUBIC((np.arange(side) - (side - 1) / 2) / scale)).float()


def positive_bicubic(scale: int) -> torch.Tensor:
    """Fit taps of at least 0 and of sum 1 to antialiased bicubic: an EDSR trained on bicubic LR restores theirs best.

    They lie halfway between pixels, so the sampler blurs what they hold by ½, ½. The fit is of running sums, by least
    squares: an image's amplitudes fall as 1/frequency, and a sum weighs a kernel's in the same way. With an EDSR
    trained on bicubic LR for 13 minutes, Set5 ×2 begins at 36.24 dB; from cut_bicubic at 34.71 dB.
    """
    side = 3 * scale + 1
    blur = np.zeros((side + 1, side))
    blur[np.arange(side), np.arange(side)] = blur[np.arange(side) + 1, np.arange(side)] = 0.5
    bicubic = BICUBIC((np.arange(side + 1) - side / 2) / scale)
    taps, _ = nnls(blur.cumsum(0), (bicubic / bicubic.sum()).cumsum())
    return torch.from_numpy((taps + taps[::-1]) / (2 * taps.sum())).float()


BEGIN = {"resampler": cut_bicubic, "nearest": positive_bicubic}
"""What the kernels begin as, by the setting `begin`; torch's initial weights otherwise."""


def _paper(part: str) -> Recipe:
    scale = part.removeprefix("x")
    return Recipe(
        name="paper",
        method="car-edsr",
        part=part,
        summary="L1, offset distance and partial variation through soft rounding, from EDSR's weights; 10⁶ steps",
        source="TIP 2020, sec. 3.4 and 4.1; weights of the two terms from a third-party port, since the paper has none",
        learner=CarLearner,
        losses={"reconstruction": 1.0, "offset": 1e-3, "variation": 5e-3},
        steps=1_000_000,
        batch=16,
        patch={"x2": 96, "x4": 192}[part],
        scales=(scale,),
        adam=Adam(1e-4, epsilon=1e-6),
        schedule=Schedule("plateau"),
        transpose=False,
        layout={"early": 64, "middle": 128, "width": 256, "kernel_blocks": 5, "blocks": 32, "channels": 256,
                "offsets": True, "residual_scale": 0.1},
        settings={"eta": 1.0, "begin": "torch", "pace": 1},
        starts={f"usn-{part}": f"edsr/{part}"},
    )  # fmt: skip


def _small(paper: Recipe) -> Recipe:
    return replace(
        paper,
        name="small",
        summary="narrow networks for minutes of a CPU, begun as bicubic and pixel repetition, no weights to start from",
        steps=20_000,
        batch={"x2": 2, "x4": 4}[paper.part],
        patch={"x2": 64, "x4": 96}[paper.part],
        # The offsets' variation is a sum over the image: at the paper's 5e-3 it drove every kernel to a single tap.
        losses={"reconstruction": 1.0, "offset": 1e-3, "variation": 5e-5},
        adam=Adam(1e-3, epsilon=1e-6),
        rivals={RESAMPLER: Adam(1e-3, epsilon=1e-6)},
        schedule=Schedule("cosine", warmup=0.05),
        layout={"early": 16, "middle": 32, "width": 64, "kernel_blocks": 3, "blocks": 8, "channels": 40,
                "offsets": True, "residual_scale": 1.0},
        settings={"eta": 1.0, "begin": "resampler", "pace": {"x2": 4, "x4": 8}[paper.part]},
        starts={},
        clip=1.0,
        precision="auto",
        fits_budget=True,
        validations=10,
    )  # fmt: skip


def _base(small: Recipe) -> Recipe:
    return replace(
        small,
        name="base",
        summary="the weights that ship: small, but EDSR begins trained (edsr-baseline), as the paper's does",
        steps=60_000,
        adam=Adam(2e-4, epsilon=1e-6),
        settings={**small.settings, "begin": "nearest", "pace": 1},
        starts={f"usn-{small.part}": f"edsr-baseline/{small.part}"},
    )


def _ablation(paper: Recipe) -> Iterable[Recipe]:
    """Yield what the paper compares with CAR in Table 3."""
    losses = paper.losses
    for name, text, left in (
        ("no-tv", "without the partial variation of the offsets", ("reconstruction", "offset")),
        ("no-offset-distance", "without the distance of the offsets", ("reconstruction", "variation")),
        ("no-offsets", "kernels alone, their taps on the grid", ("reconstruction",)),
    ):
        layout = {**paper.layout, "offsets": name != "no-offsets"}
        kept = {term: losses[term] for term in left}
        yield replace(paper, name=name, summary=f"Table 3: {text}", layout=layout, losses=kept)


def recipes() -> Iterable[Recipe]:
    """Yield the paper's recipe, its ablation and the short ones for both scales."""
    for part in ("x2", "x4"):
        paper = _paper(part)
        small = _small(paper)
        yield from (paper, *_ablation(paper), small, _base(small))

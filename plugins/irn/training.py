"""How the IRN family is trained (ECCV 2020, sec. 3.3 and appendix; IJCV 2022), and what a short training takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import nn

from rescale_bench.api.records import State, States
from rescale_bench.errors import UsageError
from rescale_bench.machine.precision import keep_float32
from rescale_bench.networks.latent import LATENT
from rescale_bench.networks.loading import fresh_tensors
from rescale_bench.networks.quantise import quantise
from rescale_bench.training.jpeg_layer import compress
from rescale_bench.training.learner import MODEL, Batch, Learner
from rescale_bench.training.losses import Discriminator, charbonnier, load_features, squares, taken_for_real, told_apart
from rescale_bench.training.recipe import Adam, Recipe, Schedule
from rescale_bench.training.starting import widen

from .network import BLOCK, InvertibleNetwork, Layout, load_network
from .rescaler import LAYOUTS, RESTORE
from .restore import RestoreNetwork
from .squeeze import ColourMatrix, LearnedSqueeze

RIVAL = "discriminator"
GREY = (0.299, 0.587, 0.114)
NORMS = {"L1": charbonnier, "L2": squares}
"""The papers' two; L1 is the root of IRN's code."""
HALVED = Schedule("steps", (100_000, 200_000, 300_000, 400_000))
SMALL = {
    ("irn", "x2"): ("6", 48, 2),
    ("irn", "x4"): ("1+6", 80, 2),
    ("irn", "x8"): ("1+1+8", 128, 2),
    ("irn-ld", "x3"): ("6", 60, 2),
    ("irn-e", "x4"): ("8", 80, 2),
    ("irn-color", "x1"): ("6", 32, 2),
}
"""Blocks, patch and batch of the short trainings.

In minutes, many small steps beat few large ones: irn x2 after 2.5 minutes of one core reached 31.8 dB on the held-out
crops with 4 crops of 80 pixels a step, 35.8 with 4 of 48, 36.3 with 2 of 48 at 1.5 times the rate.
"""
BASE = {("irn", "x2"): (20_000, 2e-3), ("irn", "x4"): (60_000, 7e-4), ("irn-ld", "x3"): (60_000, 1e-3)}
"""Steps and rate of the weights that ship. At 2e-3 irn x4 diverged after 500 of these steps."""


class IrnLearner(Learner):
    """Reconstruction, guidance and latent distribution (ECCV 2020, Eq. 8), all sums over pixels and channels."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with the paper's initial weights, or with those given."""
        published = LAYOUTS[recipe.method][recipe.part]
        self.part, self.settings, self.weighed = recipe.part, recipe.settings, frozenset(recipe.losses)
        if recipe.part in start:
            network = load_network(start[recipe.part].tensors, published, f"{recipe} start").train()
        else:
            network = InvertibleNetwork(_layout(published, str(recipe.layout["blocks"]), int(recipe.layout["growth"])))
            network.load_state_dict(fresh_tensors(partial(InvertibleNetwork, network.layout), seed))
            widen(network, float(recipe.settings.get("gain", 1)))
            if recipe.settings.get("begin") == "resampler":
                begin_as_resampler(network)
        self.network = self.module = network
        self.colour = network.layout.kept == 1
        matrices = [step for step in network.steps() if isinstance(step, LearnedSqueeze | ColourMatrix)]
        keep_float32(matrices, ("forward", "inverse"))

    def round_trip(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the unquantised LR, the latent, and HR' from the quantised LR and a latent that is drawn or zero."""
        lr, latent = self.network(batch.hr.flip(1) if self.colour else batch.hr)
        received = quantise(lr.float())
        noise = float(self.settings.get("noise", 0))
        # IJCV 2022, irn-jpeg: half of the time, so that the inverse bears what JPEG and CRM leave behind.
        if noise and batch.chance() < 0.5:
            received = received + noise * batch.normal(received)
        drawn = batch.normal(latent) if self.settings["z"] == "gaussian" else torch.zeros_like(latent)
        restored = self.network.inverse(received, drawn)
        return lr, latent, restored.flip(1) if self.colour else restored

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute those of the three terms that the recipe weighs."""
        lr, latent, restored = self.round_trip(batch)
        terms = {
            "reconstruction": self.norm("reconstruction_norm", "L1")(restored - batch.hr),
            "guidance": self.norm("guidance_norm", "L2")(lr - (_grey(batch.hr) if self.colour else batch.lr)),
            "latent": squares(latent),
        }
        return {name: term for name, term in terms.items() if name in self.weighed}

    def norm(self, setting: str, usual: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """Choose a term's norm. Raises UsageError for another than L1 and L2."""
        chosen = str(self.settings.get(setting, usual))
        if chosen not in NORMS:
            raise UsageError(f"settings.{setting}={chosen}; choose from {', '.join(NORMS)}", "changes")
        return NORMS[chosen]

    def states(self) -> Mapping[str, State]:
        """Return the network, and which latent it learned with."""
        return {self.part: State(self.network.state_dict(), {LATENT: str(self.settings["z"])})}


class UpscalingLearner(IrnLearner):
    """Bicubic & IRN-U (IJCV 2022, Table 8): the inverse alone, from the bicubic LR in 8 bit and a latent."""

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute the only term."""
        count, height, width = batch.lr.shape[0], *batch.lr.shape[2:]
        latent = batch.lr.new_zeros(count, self.network.latent_channels, height, width)
        drawn = batch.normal(latent) if self.settings["z"] == "gaussian" else latent
        return {"reconstruction": charbonnier(self.network.inverse(quantise(batch.lr), drawn) - batch.hr)}


class SeparateLearner(IrnLearner):
    """IRN-D & IRN-U (IJCV 2022, Table 8): two networks, trained together.

    What shrinks and what enlarges share no weights, so there is no latent to forget: reconstruction and guidance.
    """

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin both with the paper's initial weights, drawn apart."""
        super().__init__(replace(recipe, part=f"up-{recipe.part}"), {}, seed)
        self.down = InvertibleNetwork(self.network.layout)
        self.down.load_state_dict(fresh_tensors(partial(InvertibleNetwork, self.network.layout), seed + 1))
        self.module = nn.ModuleDict({"down": self.down, "up": self.network})
        self.scale = recipe.part

    def round_trip(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the unquantised LR and the latent of one network, and HR' of the other."""
        lr, latent = self.down(batch.hr)
        drawn = batch.normal(latent) if self.settings["z"] == "gaussian" else torch.zeros_like(latent)
        return lr, latent, self.network.inverse(quantise(lr.float()), drawn)

    def states(self) -> Mapping[str, State]:
        """Return both networks."""
        up = State(self.network.state_dict(), {LATENT: str(self.settings["z"])})
        return {f"down-{self.scale}": State(self.down.state_dict()), f"up-{self.scale}": up}


class PlusLearner(IrnLearner):
    """The second stage, IRN+: no latent term, but a discriminator and, unless left out by name, VGG features."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Begin with the first stage's weights. Raises UnavailableError without VGG's, where the recipe needs them."""
        super().__init__(recipe, start, seed)
        self.perceptual = load_features() if "perceptual" in recipe.losses else None
        self.alone = int(recipe.settings["alone"])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.rival = Discriminator(recipe.patch, int(recipe.settings["discriminator_width"]))
        self.module = nn.ModuleDict({MODEL: self.network, RIVAL: self.rival})

    def players(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Give network and discriminator an optimizer each."""
        return {
            MODEL: [parameter for parameter in self.network.parameters() if parameter.requires_grad],
            RIVAL: list(self.rival.parameters()),
        }

    def turn(self, step: int) -> Sequence[str]:
        """Let the discriminator learn alone at first, then both in each step."""
        return (RIVAL,) if step < self.alone else (MODEL, RIVAL)

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute the terms of either player."""
        if player == RIVAL:
            with torch.no_grad():
                made = self.round_trip(batch)[2]
            return {RIVAL: told_apart(self.rival(batch.hr), self.rival(made))}
        lr, _, restored = self.round_trip(batch)
        terms = {
            "reconstruction": charbonnier(restored - batch.hr),
            "guidance": squares(lr - batch.lr),
            "adversarial": taken_for_real(self.rival(restored)),
        }
        if self.perceptual is not None:
            features = self.perceptual.to(batch.hr.device)
            difference = features(restored) - features(batch.hr)
            terms["perceptual"] = difference.float().abs().sum() / len(difference)
        return terms


class RestoreLearner(Learner):
    """CRM alone: squared error between the quantised LR of a finished network and CRM(JPEG of it) (IJCV 2022)."""

    def __init__(self, recipe: Recipe, start: States, seed: int) -> None:
        """Take the finished network from the start."""
        self.start = start["x2"]
        self.network = load_network(self.start.tensors, LAYOUTS["irn-jpeg"]["x2"], f"{recipe} start")
        self.network.requires_grad_(False)
        layout = recipe.layout
        build = partial(RestoreNetwork, int(layout["channels"]), int(layout["blocks"]), int(layout["growth"]))
        self.module = build()
        self.module.load_state_dict(fresh_tensors(build, seed))
        self.quality = int(recipe.settings["quality"])

    def terms(self, batch: Batch, player: str) -> Mapping[str, torch.Tensor]:
        """Compute the only term."""
        with torch.no_grad(), torch.autocast(batch.hr.device.type, enabled=False):
            lr = quantise(self.network.to(batch.hr.device).downscale(batch.hr))
        return {"restoration": squares(self.module(compress(lr, self.quality)) - lr)}

    def states(self) -> Mapping[str, State]:
        """Return CRM; the network beside it, so that the folder is complete."""
        return {RESTORE: State(self.module.state_dict()), "x2": self.start}


@torch.no_grad()
def begin_as_resampler(network: InvertibleNetwork) -> None:
    """Let the learned squeeze begin as the block mean and differences to it, so that z = 0 repeats the mean.

    With the paper's identity below the mean, z = 0 would put the whole block into its first pixel.
    """
    for step in network.steps():
        if isinstance(step, LearnedSqueeze):
            pixels = step.factor**2
            step.conv_weights.copy_(torch.eye(pixels) - 1 / pixels)
            step.conv_weights[0] = 1 / pixels


def _grey(hr: torch.Tensor) -> torch.Tensor:
    return (hr * hr.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _layout(published: Layout, blocks: str, growth: int) -> Layout:
    """Give each run of blocks of the published structure its own length: "1+8" after one Haar step each."""
    counts = [int(text) for text in blocks.split("+") if text.isdecimal() and int(text) > 0]
    runs = published.structure.count(BLOCK)
    if len(counts) != runs or len(blocks.split("+")) != runs or growth < 1:
        raise UsageError(f"layout.blocks={blocks}; {runs} numbers above 0 are needed, joined by +", "changes")
    lengths = iter(counts)
    operations = [name for step in published.structure for name in (step,) * (next(lengths) if step == BLOCK else 1)]
    return Layout(tuple(operations), published.kept, growth)


def _published_blocks(method: str, part: str) -> str:
    texts = " ".join(BLOCK if name == BLOCK else "|" for name in LAYOUTS[method][part].operations).split("|")
    return "+".join(str(text.split().count(BLOCK)) for text in texts if BLOCK in text)


def _paper(method: str, part: str) -> Recipe:
    scale = part.removeprefix("x")
    guidance = 9.0 if method == "irn-color" else float(scale) ** 2
    return Recipe(
        name="paper",
        method=method,
        part=part,
        summary="reconstruction, guidance and latent terms; 500k steps",
        source="ECCV 2020, sec. 3.3 and 4.1; IJCV 2022, sec. 4",
        learner=IrnLearner,
        losses={"reconstruction": 1.0, "guidance": guidance, "latent": 1.0},
        steps=500_000,
        batch=16,
        patch=144,
        scales=(scale,),
        adam=Adam(2e-4, decay=1e-5),
        schedule=HALVED,
        clip=10,
        layout={"blocks": _published_blocks(method, part), "growth": 32},
        settings={"z": "zero" if method == "irn-color" else "gaussian"},
        options={} if method == "irn-color" else {"z": "zero"},
    )


def _variants() -> Iterable[Recipe]:
    """Yield what IJCV 2022 compares with IRN ×4 in Tables 4, 5, 6 and 8; the rest of each is the paper's recipe."""
    paper = _paper("irn", "x4")
    guide, reconstruct = {"guidance_norm": "L1"}, {"reconstruction_norm": "L2"}
    for name, text, settings in (
        ("guidance-l1", "L1 for the LR", guide),
        ("guidance-l1-reconstruction-l2", "L1 for the LR, L2 for HR", {**guide, **reconstruct}),
        ("reconstruction-l2", "L2 for HR", reconstruct),
    ):
        yield replace(
            paper, name=name, summary=f"Table 4: {text}", settings={**paper.settings, **settings},
            source="IJCV 2022, Table 4; weights of the terms as with the usual norms, which the paper leaves open",
        )  # fmt: skip
    losses = {name: weight for name, weight in paper.losses.items() if name != "latent"}
    yield replace(paper, name="no-distribution", summary="Table 4: no term for the latent", losses=losses)
    for weight in ("1.6", "160"):
        losses = {**paper.losses, "guidance": float(weight)}
        yield replace(paper, name=f"guidance-{weight}", summary=f"Tables 5, 6: lambda2 = {weight}", losses=losses)
    for count, size in ((2, "tiny"), (4, "small"), (16, "large")):
        yield _resized(paper, count, f"Table 8: IRN ({size})")
    yield replace(
        paper,
        name="upscaler",
        summary="Table 8: Bicubic & IRN-U, the inverse alone; run it as bicubic+irn:weights=upscaler",
        learner=UpscalingLearner,
        losses={"reconstruction": 1.0},
        validate_as="bicubic+irn",
    )
    separate = replace(
        paper,
        method="irn-du",
        summary="Table 8: IRN-D & IRN-U, of together as many parameters as IRN; no latent term",
        learner=SeparateLearner,
        losses={name: weight for name, weight in paper.losses.items() if name != "latent"},
        layout={**paper.layout, "blocks": "4+4"},
    )
    yield separate
    for count, size in ((1, "tiny"), (2, "small"), (8, "large")):
        yield _resized(separate, count, f"Table 8: IRN-D & IRN-U ({size})")


def _resized(recipe: Recipe, count: int, summary: str) -> Recipe:
    layout = {**recipe.layout, "blocks": f"{count}+{count}"}
    return replace(recipe, name=f"blocks-{count}", summary=f"{summary}, {layout['blocks']} blocks", layout=layout)


def _small(paper: Recipe) -> Recipe:
    blocks, patch, batch = SMALL[paper.method, paper.part]
    short = _short(replace(paper, layout={"blocks": blocks, "growth": 16}, patch=patch, batch=batch), 2e-3)
    return replace(short, settings={**short.settings, "begin": "resampler"}) if paper.method == "irn-ld" else short


def _short(paper: Recipe, rate: float = 1e-3) -> Recipe:
    return replace(
        paper,
        name="small",
        summary=f"narrow network for minutes of a CPU; {paper.summary.partition(';')[0]}",
        steps=20_000,
        adam=replace(paper.adam, rate=rate, decay=0.0),
        schedule=Schedule("cosine", warmup=0.05),
        settings={"gain": 10.0, **paper.settings, "z": "zero"},
        precision="auto",
        fits_budget=True,
        validations=10,
    )


def _plus() -> Iterable[Recipe]:
    paper = replace(
        _paper("irn-plus", "x4"),
        summary="second stage from irn x4: discriminator and VGG features; 400k steps (the paper gives no number)",
        source="ECCV 2020, appendix",
        learner=PlusLearner,
        losses={"reconstruction": 0.01, "guidance": 16.0, "adversarial": 1.0, "perceptual": 0.01, RIVAL: 1.0},
        steps=400_000,
        adam=Adam(1e-4, decay=1e-5),
        rivals={RIVAL: Adam(1e-4, 0.9, 0.99)},
        schedule=Schedule("steps", (50_000, 100_000, 200_000, 300_000)),
        settings={"z": "gaussian", "alone": 5000, "discriminator_width": 64},
        starts={"x4": "irn/x4"},
    )
    losses = {name: weight for name, weight in paper.losses.items() if name != "perceptual"}
    without = "second stage from irn x4 without the perceptual term: not the published method"
    bare = replace(paper, name="no-perceptual", summary=without, losses=losses)
    small = replace(_short(bare, 1e-4), summary=without, patch=128, batch=4)
    yield from (paper, bare, replace(small, settings={**small.settings, "alone": 100, "discriminator_width": 16}))


def _jpeg() -> Iterable[Recipe]:
    tuned = replace(
        _paper("irn-jpeg", "x2"),
        summary="irn x2 tuned with noise on half of the quantised LRs; 100k steps",
        source="IJCV 2022, sec. 3.3 and 4",
        steps=100_000,
        adam=Adam(1e-5, decay=1e-5),
        schedule=Schedule("steps", ()),
        settings={"z": "gaussian", "noise": 0.01},
        starts={"x2": "irn/x2"},
        options={"z": "zero", "crm": False},
    )
    restore = replace(
        tuned,
        part=RESTORE,
        summary="CRM alone, on JPEG 90 of the tuned network's LR; 50k steps",
        learner=RestoreLearner,
        losses={"restoration": 1.0},
        steps=50_000,
        adam=Adam(2e-4),
        # "Halved": at the same parts of the training as the network, which the paper leaves open.
        schedule=Schedule("steps", (10_000, 20_000, 30_000, 40_000)),
        layout={"channels": 64, "blocks": 8, "growth": 32},
        settings={"quality": 90},
        starts={"x2": "irn-jpeg/x2"},
        options={"z": "zero"},
    )
    yield from (tuned, restore, replace(_short(tuned, 1e-4), patch=80, batch=4))
    layout = {"channels": 32, "blocks": 2, "growth": 16}
    yield replace(_short(restore), layout=layout, settings=restore.settings, patch=80, batch=4)


def recipes() -> Iterable[Recipe]:
    """Yield the recipes of the family."""
    for method, part in SMALL:
        paper = _paper(method, part)
        small = _small(paper)
        yield from (paper, small)
        if (method, part) in BASE:
            steps, rate = BASE[method, part]
            text = "the weights that ship: small, longer"
            yield replace(small, name="base", summary=text, steps=steps, adam=replace(small.adam, rate=rate))
    yield from _variants()
    yield from _plus()
    yield from _jpeg()

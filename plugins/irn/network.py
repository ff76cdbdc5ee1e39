"""The invertible rescaling network and its layouts (IRN, ECCV 2020 and IJCV 2022)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from rescale_bench.errors import WeightsError
from rescale_bench.networks.coupling import CouplingBlock, Pair
from rescale_bench.networks.dense import LAYERS
from rescale_bench.networks.invertible import Haar, check_haar
from rescale_bench.networks.loading import differences, load_strict

from .squeeze import ColourMatrix, LearnedSqueeze

BLOCK, HAAR, LEARNED, COLOUR = "block", "Haar", "learned 3×3 squeeze", "colour matrix"
Step = Haar | LearnedSqueeze | ColourMatrix | CouplingBlock
FACTORS = {HAAR: 2, LEARNED: 3}


@dataclass(frozen=True)
class Layout:
    """What a network is made of, in order.

    operations: of BLOCK, HAAR, LEARNED, COLOUR. kept: channels of the LR. growth: width of the dense blocks.
    """

    operations: tuple[str, ...]
    kept: int = 3
    growth: int = 32

    @property
    def scale(self) -> int:
        """Multiply the down-sampling factors."""
        scale = 1
        for operation in self.operations:
            scale *= FACTORS.get(operation, 1)
        return scale

    @property
    def margin(self) -> int:
        """Count the LR pixels that either direction sees beyond a pixel.

        In a coupling block y2 needs y1 and y1 needs x2 (inverse: x1 needs x2 needs y1): two dense blocks in a chain.
        Squeezes join pixels of one block and turn a reach of r pixels into one of r / factor, upwards.
        """
        reach = 0
        for operation in self.operations:
            reach = -(-reach // FACTORS.get(operation, 1)) + (2 * LAYERS if operation == BLOCK else 0)
        return reach

    @property
    def structure(self) -> tuple[str, ...]:
        """List the operations with each run of blocks as one: equal structures differ in widths and depths alone."""
        groups = (list(group) for _, group in itertools.groupby(self.operations, BLOCK.__eq__))
        return tuple(itertools.chain.from_iterable(group[:1] if group[0] == BLOCK else group for group in groups))

    def __str__(self) -> str:
        """Print as "Haar, 8 blocks, Haar, 8 blocks (growth 32)"."""
        groups = [(name, len(list(group))) for name, group in itertools.groupby(self.operations)]
        texts = [f"{count} blocks" if name == BLOCK else ", ".join([name] * count) for name, count in groups]
        return f"{', '.join(texts)} (growth {self.growth})"


class InvertibleNetwork(nn.Module):
    """Squeezes and coupling blocks in sequence; keys `operations.{i}.…` as published.

    Tensors are RGB in [0, 1] (BGR for the colour network), sides multiples of the scale.
    """

    def __init__(self, layout: Layout) -> None:
        """Build the operations with PyTorch's initial weights; `initialise` or a loaded state replaces them."""
        super().__init__()
        self.layout = layout
        self.operations = nn.ModuleList()
        channels = 3
        for operation in layout.operations:
            self.operations.append(_operation(operation, channels, layout))
            channels *= FACTORS.get(operation, 1) ** 2
        self.latent_channels = channels - layout.kept

    def steps(self) -> list[Step]:
        """List the operations with their types."""
        return cast(list[Step], list(self.operations))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the paper's initial weights: every block the identity, the LR the block average (or luma)."""
        for step in self.steps():
            step.initialise(generator)

    def forward(self, hr: torch.Tensor) -> Pair:
        """Map (N, 3, H, W) to the unquantised LR (N, kept, h, w) and the latent (N, latent_channels, h, w)."""
        return self._run(self.steps(), self._split(hr))

    def downscale(self, hr: torch.Tensor) -> torch.Tensor:
        """Return the LR of `forward` alone, without the last block's G and H."""
        *before, last = self.steps()
        pair = self._run(before, self._split(hr))
        return last.first(*pair) if isinstance(last, CouplingBlock) else self._run([last], pair)[0]

    def inverse(self, lr: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
        """Map an LR and a latent back to (N, 3, H, W)."""
        pair = (lr, latent)
        for step in reversed(self.steps()):
            pair = step.inverse(*pair) if isinstance(step, CouplingBlock) else self._split(step.inverse(_join(pair)))
        return _join(pair)

    def _run(self, steps: list[Step], pair: Pair) -> Pair:
        for step in steps:
            pair = step(*pair)[:2] if isinstance(step, CouplingBlock) else self._split(step(_join(pair)))
        return pair

    def _split(self, x: torch.Tensor) -> Pair:
        return x[:, : self.layout.kept], x[:, self.layout.kept :]


def _join(pair: Pair) -> torch.Tensor:
    return torch.cat(pair, 1)


def _operation(name: str, channels: int, layout: Layout) -> Step:
    if name == HAAR:
        return Haar(channels)
    if name == LEARNED:
        return LearnedSqueeze(FACTORS[LEARNED])
    if name == COLOUR:
        return ColourMatrix()
    return CouplingBlock(channels, layout.kept, layout.growth)


def infer_layout(tensors: Mapping[str, torch.Tensor], published: Layout) -> Layout:
    """Read the operations and the growth off the keys and shapes of a state.

    What the keys leave open (which kind of matrix, an operation without any key) is taken from the published layout.
    """
    names: dict[int, set[str]] = {}
    widths: Counter[int] = Counter()
    for key, tensor in tensors.items():
        if found := re.fullmatch(r"operations\.(\d{1,3})\.(.+)", key):
            names.setdefault(int(found[1]), set()).add(found[2])
            if re.fullmatch(r"[FGH]\.conv[1-4]\.weight", found[2]) and tensor.ndim == 4:
                widths[tensor.shape[0]] += 1
    if not names or not widths:
        return published
    matrix = COLOUR if COLOUR in published.operations else LEARNED
    kinds = {"haar_weights": HAAR, "conv_weights": matrix}
    operations = tuple(
        next((kind for name, kind in kinds.items() if name in names.get(index, ())), BLOCK)
        for index in range(max(names) + 1)
    )
    return replace(published, operations=operations, growth=widths.most_common(1)[0][0])


def load_network(tensors: Mapping[str, torch.Tensor], published: Layout, where: str) -> InvertibleNetwork:
    """Build the network that a state holds, of any width and depth but the published structure, in eval mode.

    Raises WeightsError, beginning with where, for another structure, keys, shapes or Haar constants.
    """
    layout = infer_layout(tensors, published)
    with torch.device("meta"):
        network = InvertibleNetwork(layout)
        wanted = {key: tuple(tensor.shape) for key, tensor in InvertibleNetwork(published).state_dict().items()}
    if layout.structure != published.structure:
        found = differences(wanted, tensors)
        raise WeightsError(f"{where}: the weights hold {layout}, not {published}: {found}")
    load_strict(network, tensors, where)
    check_haar(network, where)
    return network

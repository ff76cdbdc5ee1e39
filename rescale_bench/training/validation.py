"""Validation: the whole round trip with an 8-bit LR on held-out crops, through the method's normal `build`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np
import torch

from rescale_bench.api.records import Method, Sample, State, Value, qualified
from rescale_bench.api.registry import Chosen
from rescale_bench.errors import UndefinedValueError
from rescale_bench.metrics import fidelity
from rescale_bench.protocols.named import RGB8
from rescale_bench.roundtrip.cell import Loop, prepare_hr, reference_lr, round_trip
from rescale_bench.roundtrip.halves import Halves

METRICS = {"psnr_y": fidelity.psnr_y, "psnr_rgb": fidelity.psnr_rgb, "psnr_lr": fidelity.psnr_lr}


class Validator:
    """Scores states of a method on a few crops."""

    def __init__(
        self,
        method: Method,
        owner: Method,
        codec: Chosen,
        crops: Sequence[np.ndarray],
        scales: Sequence[str],
        options: Mapping[str, Value],
        device: str,
    ) -> None:
        """Take the method that runs (a pair for methods that only enlarge), the one that is trained, and its codec."""
        self.loop = Loop(codec.record, codec.options)
        self.method, self.owner, self.crops, self.device = method, owner, crops, device
        self.scales = [Decimal(text) for text in scales]
        self.options = {option.name: option.default for option in method.options} | dict(options)

    def __call__(self, states: Mapping[str, State]) -> dict[str, float]:
        """Return the means over the crops, such as "psnr_y x2"; a scale is left out where parts are missing."""
        if not self.crops:
            return {}
        named = {qualified(self.owner, part): state for part, state in states.items()}
        known = named if self.method.traits.derived else dict(states)
        with torch.random.fork_rng(devices=[]), torch.autocast(torch.device(self.device).type, enabled=False):
            rescaler = self.method.build(known, self.device, self.options)
            halves = Halves(self.method, rescaler, rescaler, self.device)
            found = {str(scale): [self._sample(halves, crop, scale) for crop in self.crops] for scale in self.scales}
        scores = {
            f"{name} x{scale}": _mean([_value(name, sample) for sample in samples])
            for scale, samples in found.items()
            for name in METRICS
            # Where the bicubic LR itself is enlarged, its likeness to itself says nothing.
            if not (self.method.traits.derived and name == "psnr_lr")
        }
        return {name: value for name, value in scores.items() if not math.isnan(value)}

    def _sample(self, halves: Halves, crop: np.ndarray, scale: Decimal) -> Sample:
        hr = prepare_hr(crop, False, RGB8, scale)
        return round_trip(halves, hr, scale, RGB8, self.loop, 0, reference_lr(hr, RGB8, scale))


def _value(name: str, sample: Sample) -> float:
    try:
        return METRICS[name](sample, {})
    except UndefinedValueError:
        return math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

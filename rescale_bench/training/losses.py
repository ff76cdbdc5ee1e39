"""Loss terms that several systems share, a discriminator, and features of VGG19."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from rescale_bench.errors import UnavailableError, UsageError, WeightsError
from rescale_bench.weights import checkpoints
from rescale_bench.weights.stored import home

EPSILON = 1e-6


def squares(difference: torch.Tensor) -> torch.Tensor:
    """Sum the squares of (N, …) over everything but the batch, and average over that."""
    return difference.float().square().sum() / len(difference)


def absolutes(difference: torch.Tensor) -> torch.Tensor:
    """Sum the absolute values of (N, …) over everything but the batch, and average over that."""
    return difference.float().abs().sum() / len(difference)


def charbonnier(difference: torch.Tensor) -> torch.Tensor:
    """Sum √(d² + 1e-6), IRN's L1, over everything but the batch, and average over that."""
    return (difference.float().square() + EPSILON).sqrt().sum() / len(difference)


def weighted_sum(terms: Mapping[str, torch.Tensor], weights: Mapping[str, float]) -> torch.Tensor:
    """Add up the terms times their weights. Raises UsageError for a term that the recipe does not know."""
    unknown = [name for name in terms if name not in weights]
    if unknown or not terms:
        raise UsageError(f"loss terms without a weight in the recipe: {', '.join(unknown) or '(no terms)'}")
    return torch.stack([weights[name] * term.float() for name, term in terms.items()]).sum()


DISCRIMINATOR_WIDTHS = (1, 2, 4, 8, 8)
"""Of the five pairs of convolutions, in units of the first."""


class Discriminator(nn.Module):
    """Ten convolutions in pairs (3×3; 4×4 with stride 2), batch norm, LeakyReLU 0.2, dense 100, dense 1.

    Maps (N, 3, P, P) in [0, 1] to logits (N, 1); P is fixed and at least 32.
    """

    def __init__(self, side: int, width: int = 64) -> None:
        """Take P and the channels of the first pair."""
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for factor in DISCRIMINATOR_WIDTHS:
            outputs = factor * width
            layers += [*_layer(inputs, outputs, 3, 1), *_layer(outputs, outputs, 4, 2)]
            inputs, side = outputs, side // 2
        del layers[1]  # no batch norm on pixels
        self.features = nn.Sequential(*layers)
        self.judge = nn.Sequential(nn.Linear(inputs * side**2, 100), nn.LeakyReLU(0.2), nn.Linear(100, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Judge images: above 0 means real."""
        result: torch.Tensor = self.judge(self.features(image).flatten(1))
        return result


def _layer(inputs: int, outputs: int, side: int, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, side, stride, 1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]


def taken_for_real(logits: torch.Tensor) -> torch.Tensor:
    """Compute the generator's loss: cross-entropy of its images with the label "real", mean over the batch."""
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.ones_like(logits, dtype=torch.float32))


def told_apart(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Compute the discriminator's loss: cross-entropies of real and made images, added."""
    zeros = torch.zeros_like(fake, dtype=torch.float32)
    return taken_for_real(real) + functional.binary_cross_entropy_with_logits(fake.float(), zeros)


FILE = "vgg19-dcbb9e9d.pth"
URL = f"https://download.pytorch.org/models/{FILE}"
VGG_WIDTHS: tuple[int, ...] = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
"""Outputs of VGG19's convolutions up to conv5_4; 0 is a 2×2 maximum."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualFeatures(nn.Module):
    """VGG19 up to conv5_4: (N, 3, H, W) in [0, 1] to features (N, 512, H/16, W/16); never trained."""

    def __init__(self) -> None:
        """Build the layers; `load_features` fills them."""
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in VGG_WIDTHS:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            inputs = width or inputs
        self.features = nn.Sequential(*layers[:-1])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the features."""
        mean, deviation = (image.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
        result: torch.Tensor = self.features((image - mean) / deviation)
        return result


def vgg_path() -> Path:
    """Say where the file of VGG19's weights is looked for."""
    return home() / "training" / FILE


def load_features() -> PerceptualFeatures:
    """Build VGG19 from the user's file. Raises UnavailableError without it, WeightsError where it does not fit.

    The term is part of the method: without the file such a recipe is refused, never trained without it.
    """
    path = vgg_path()
    if not path.is_file():
        raise UnavailableError(
            f"the perceptual loss needs VGG19's weights, {path}, which cannot be shipped: get {URL}. It is part of "
            "IRN+ and is not dropped silently; the recipe no-perceptual trains without it and says so in the weights"
        )
    content: object = checkpoints.read(path)
    tensors = content if isinstance(content, Mapping) else {}
    network = PerceptualFeatures()
    wanted = {key for key in network.state_dict() if key.startswith("features.")}
    problems = network.load_state_dict({key: tensors[key] for key in wanted if key in tensors}, strict=False)
    missing = [key for key in problems.missing_keys if key in wanted]
    if missing:
        raise WeightsError(f"{path} is not VGG19 as torchvision publishes it: it lacks {', '.join(missing[:3])}")
    return network.requires_grad_(False).eval()

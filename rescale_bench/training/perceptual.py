"""Perceptual loss: distances between VGG19 features before the ReLU of conv5_4 (IRN+, ECCV 2020, appendix)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from rescale_bench.errors import UnavailableError, WeightsError
from rescale_bench.weights import checkpoints
from rescale_bench.weights import files as weights

FILE = "vgg19-dcbb9e9d.pth"
URL = f"https://download.pytorch.org/models/{FILE}"
WIDTHS: tuple[int, ...] = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
"""Outputs of VGG19's convolutions up to conv5_4; 0 is a 2×2 maximum."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PerceptualFeatures(nn.Module):
    """VGG19 up to conv5_4: (N, 3, H, W) in [0, 1] to features (N, 512, H/16, W/16); never trained."""

    def __init__(self) -> None:
        """Build the layers; `load_features` fills them."""
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width in WIDTHS:
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
    return weights.home() / "training" / FILE


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

"""Inception-v3 features of an image as FID takes them: pyiqa's network, clean-fid's way of shrinking.

G. Parmar et al., "On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022: each channel goes to
299×299 by Pillow's antialiased bicubic filter in float, whatever the aspect ratio; (x − 128) / 128.
"""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from rescale_bench.errors import WeightsError
from rescale_bench.metrics import pyiqa_models
from rescale_bench.metrics.files import INCEPTION

SIDE = 299
DIMENSIONS = 2048
RESIZE = "clean 299×299"


def inception_features(pixels: np.ndarray) -> np.ndarray:
    """Return the 2048 pooled features, float64, of uint8 (H, W, 3). Raises WeightsError for another file's weights."""
    import torch

    batch = torch.from_numpy(shrunk(pixels)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        found = _network(str(INCEPTION.location))((batch - 128) / 128, False, False)[0]
    features: np.ndarray = found.reshape(DIMENSIONS).numpy().astype(np.float64)
    return features


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Resize uint8 (H, W, 3) to float32 (299, 299, 3) in [0, 255], as clean-fid does."""
    from PIL import Image

    planes = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(3)]
    small = [np.asarray(plane.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for plane in planes]
    return np.stack(small, axis=2).clip(0, 255)


@functools.lru_cache(maxsize=1)
def _network(path: str) -> Any:
    pyiqa_models.model_class("inception", "InceptionV3")  # torchvision's import is mended before pyiqa's
    from pyiqa.archs import inception

    state = _state(Path(path))

    def load(network: Any, _: str) -> None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not FID's Inception-v3: {str(error).splitlines()[1].strip()}") from error

    # pyiqa would download the file without a checksum, and read it with the unsafe half of pickle.
    with (
        mock.patch.object(inception, "load_pretrained_network", load),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.filterwarnings("ignore", message="(The parameter 'pretrained'|Arguments other than a weight)")
        return inception.InceptionV3().eval()


def _state(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from error

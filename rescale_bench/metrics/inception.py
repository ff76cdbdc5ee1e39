"""FID and KID: how far the restored images of a data set are from its HR images, by their Inception-v3 features.

The network is pyiqa's, the way of shrinking clean-fid's: G. Parmar et al., "On aliased resizing and surprising
subtleties in GAN evaluation", CVPR 2022: each channel goes to 299×299 by Pillow's antialiased bicubic filter in float,
whatever the aspect ratio; (x − 128) / 128.
"""

from __future__ import annotations

import contextlib
import functools
import io
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Features, MetricFile, SetMetric
from rescale_bench.errors import WeightsError
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.metrics import iqa

if TYPE_CHECKING:
    import numpy as np

INCEPTION = MetricFile(
    path="hub/checkpoints/pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
)
SIDE, DIMENSIONS = 299, 2048


@hookimpl
def rescale_bench_metrics() -> Iterable[SetMetric]:
    """Yield FID and KID."""
    features = Features(about=f"{DIMENSIONS} Inception-v3 features (clean {SIDE}×{SIDE})", compute=inception_features)
    return (
        SetMetric(
            name="fid",
            summary="Fréchet Inception distance to the HR images (clean resize); biased by the number of images",
            title="FID",
            direction="down",
            decimals=2,
            order=200,
            group="perceptual",
            version=iqa.VERSION,
            features=features,
            distance=_frechet_distance,
            validity=_bias_of_fid,
            files=(INCEPTION,),
            requires=functools.partial(iqa.missing_packages, "fid", *iqa.PYIQA),
        ),
        SetMetric(
            name="kid",
            summary="kernel Inception distance to the HR images, unbiased; noisy on few images",
            title="KID",
            direction="down",
            decimals=5,
            order=210,
            group="perceptual",
            version=iqa.VERSION,
            features=features,
            distance=_kernel_distance,
            validity=_noise_of_kid,
            files=(INCEPTION,),
            requires=functools.partial(iqa.missing_packages, "kid", *iqa.PYIQA),
        ),
    )


def _frechet_distance(hr: np.ndarray, sr: np.ndarray) -> float:
    from rescale_bench.metrics.frechet import frechet_distance

    return frechet_distance(hr, sr)


def _kernel_distance(hr: np.ndarray, sr: np.ndarray) -> float:
    from rescale_bench.metrics.frechet import kernel_distance

    return kernel_distance(hr, sr)


def _bias_of_fid(images: int) -> str:
    if images > DIMENSIONS:
        return f"fid over {images} images depends on their number: compare it at this number alone."
    return (
        f"fid over {images} images is biased: fewer images than Inception's {DIMENSIONS} features leave the "
        "covariances singular, and the value rises as images get fewer. Compare it only between methods on these same "
        "images, never with another data set or a published FID."
    )


def _noise_of_kid(images: int) -> str:
    return (
        f"kid over {images} images (pairs of different images) is unbiased but noisy, and may be negative: small "
        "differences mean nothing."
    )


def inception_features(pixels: np.ndarray) -> np.ndarray:
    """Return the 2048 pooled features, float64, of uint8 (H, W, 3). Raises WeightsError for another file's weights."""
    import numpy as np
    import torch

    batch = torch.from_numpy(shrunk(pixels)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        found = _network(str(INCEPTION.location))((batch - 128) / 128, False, False)[0]
    features: np.ndarray = found.reshape(DIMENSIONS).numpy().astype(np.float64)
    return features


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Resize uint8 (H, W, 3) to float32 (299, 299, 3) in [0, 255], as clean-fid does."""
    import numpy as np
    from PIL import Image

    planes = [Image.fromarray(pixels[..., channel].astype(np.float32)) for channel in range(3)]
    small = [np.asarray(plane.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for plane in planes]
    return np.stack(small, axis=2).clip(0, 255)


@functools.lru_cache(maxsize=1)
def _network(path: str) -> Any:
    import_torchvision()  # mended before pyiqa imports it
    from pyiqa.archs import inception

    state = iqa.load_weights(Path(path))

    def load(network: Any, _: str) -> None:
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not FID's Inception-v3: {str(error).splitlines()[1].strip()}") from error

    # pyiqa would download the file without a checksum, and read it with the unsafe half of pickle.
    with contextlib.ExitStack() as stack:
        stack.callback(setattr, inception, "load_pretrained_network", inception.load_pretrained_network)
        inception.load_pretrained_network = load
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        warnings.filterwarnings("ignore", message="(The parameter 'pretrained'|Arguments other than a weight)")
        return inception.InceptionV3().eval()

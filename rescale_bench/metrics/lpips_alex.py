"""LPIPS v0.1 with AlexNet between HR and HR', through the small `lpips` package.

R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.
The heads ship inside the package; AlexNet's weights come by `rescale-bench prepare`, never while scoring.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, MetricFile, Sample, Value
from rescale_bench.errors import UndefinedValueError, WeightsError
from rescale_bench.metrics import iqa

if TYPE_CHECKING:
    import torch

ALEXNET = MetricFile(
    path="hub/checkpoints/alexnet-owt-7be5be79.pth",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    sha256="7be5be79",
)
SMALLEST = 33
"""Side in px below which AlexNet's last features vanish."""


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield LPIPS."""
    return (
        Metric(
            name="lpips_alex",
            title="LPIPS (AlexNet)",
            summary="LPIPS v0.1 with AlexNet, RGB, whole image",
            direction="down",
            judges="hr",
            version="lpips-0.1.4/1",
            measure=_lpips_alex,
            decimals=4,
            order=50,
            group="perceptual",
            tolerance="0.001",
            files=(ALEXNET,),
            requires=functools.partial(iqa.missing_packages, "lpips_alex", "lpips", "torchvision"),
            on_device=True,
        ),
    )


def _lpips_alex(sample: Sample, options: Mapping[str, Value]) -> float:
    import torch

    del options
    channels, height, width = sample.hr.shape
    if channels != 3:
        raise UndefinedValueError(f"LPIPS takes RGB; under protocol {sample.protocol.name} HR has one channel")
    if min(height, width) < SMALLEST:
        raise UndefinedValueError(f"LPIPS needs {SMALLEST} px a side, HR is {width}×{height}")
    with torch.inference_mode():
        model = network(ALEXNET.location, str(sample.hr.device))
        return float(model(_signed(sample.sr), _signed(sample.hr)))


def _signed(image: torch.Tensor) -> torch.Tensor:
    """Map (3, H, W) in [0, 255] to float32 (1, 3, H, W) in [−1, 1]."""
    import torch

    return image[None].to(torch.float32) / 255 * 2 - 1


def network(alexnet: Path, device: str = "cpu") -> Any:
    """Build LPIPS on an AlexNet file in torchvision's layout; built once per file and device.

    Raises WeightsError when the file cannot be read as that.
    """
    return _network(str(alexnet), device)


@functools.lru_cache(maxsize=2)
def _network(alexnet: str, device: str) -> Any:
    import torch

    iqa.import_torchvision()
    import lpips

    # A trunk with random weights is the package's only way not to fetch any. On the meta device none are drawn:
    # another thread may be at a method's random numbers.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(The parameter 'pretrained'|Arguments other than a weight)")
        built = lpips.LPIPS(net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    heads = iqa.load_weights(Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth")
    try:
        left = built.load_state_dict(
            {**heads, **_trunk(built, iqa.load_weights(Path(alexnet)), alexnet)}, strict=False, assign=True
        )
    except RuntimeError as error:
        raise WeightsError(f"{alexnet} is not torchvision's AlexNet: {str(error).splitlines()[-1].strip()}") from error
    # `lins` holds the same heads again, and the scaling layer is made of constants.
    if extra := [key for key in left.missing_keys if not key.startswith(("lins.", "scaling_layer."))]:
        raise WeightsError(f"{lpips.__file__}: the package ships no {', '.join(extra)}; reinstall lpips")
    return built.eval().requires_grad_(False).to(device, torch.float32)


def _trunk(built: Any, alexnet: Mapping[str, torch.Tensor], path: str) -> dict[str, torch.Tensor]:
    """Rename AlexNet's features (features.3.weight) to the package's slices (net.slice2.3.weight)."""
    trunk = {}
    for key in built.state_dict():
        if key.startswith("net."):
            source = f"features.{key.split('.', 2)[2]}"
            if source not in alexnet:
                raise WeightsError(f"{path} is not torchvision's AlexNet: it has no {source}")
            trunk[key] = alexnet[source]
    return trunk

"""LPIPS v0.1 between HR and HR', with AlexNet and with VGG16, through the small `lpips` package.

R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.
The heads ship inside the package; the networks' weights come by `rescale-bench prepare`, never while scoring.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Metric, MetricFile, Sample, Value
from rescale_bench.errors import UndefinedValueError, WeightsError
from rescale_bench.machine.torchvision_shim import import_torchvision
from rescale_bench.metrics import iqa

if TYPE_CHECKING:
    import torch

Net = Literal["alex", "vgg"]
FEATURES = "44534cd66e37ce9a6258bb5e845ef8cd47c33aa68024441c7e616d63c0c1c41a"
"""Digest of AlexNet's convolutions, which are all that LPIPS reads: see features_digest."""
SMALLEST: Mapping[Net, int] = {"alex": 33, "vgg": 16}
"""Side in px below which the last features vanish."""


def _has_alexnet(path: Path) -> bool:
    return features_digest(iqa.load_weights(path)) == FEATURES


ALEXNET = MetricFile(
    path="hub/checkpoints/alexnet-owt-7be5be79.pth",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    sha256="7be5be79",
    same=_has_alexnet,
)
VGG16 = MetricFile(
    path="hub/checkpoints/vgg16-397923af.pth",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af",
)
NAMES: Mapping[Net, str] = {"alex": "AlexNet", "vgg": "VGG16"}
TRUNKS: Mapping[Net, MetricFile] = {"alex": ALEXNET, "vgg": VGG16}


@hookimpl
def rescale_bench_metrics() -> Iterable[Metric]:
    """Yield LPIPS with either network."""
    return _metric("alex", 50), _metric("vgg", 52)


def _metric(net: Net, order: int) -> Metric:
    name = f"lpips_{net}"
    return Metric(
        name=name,
        title=f"LPIPS ({NAMES[net]})",
        summary=f"LPIPS v0.1 with {NAMES[net]}, RGB, whole image",
        direction="down",
        judges="hr",
        version="lpips-0.1.4/1",
        measure=functools.partial(_lpips, net),
        decimals=4,
        order=order,
        group="perceptual",
        tolerance="0.001",
        files=(TRUNKS[net],),
        requires=functools.partial(iqa.missing_packages, name, "lpips", "torchvision"),
        on_device=True,
    )


def features_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Hash the tensors of `features.*` by name, whatever else a file holds."""
    found = hashlib.sha256()
    for key in sorted(key for key in state if key.startswith("features.")):
        found.update(key.encode() + state[key].contiguous().numpy().tobytes())
    return found.hexdigest()


def _lpips(net: Net, sample: Sample, options: Mapping[str, Value]) -> float:
    import torch

    del options
    channels, height, width = sample.hr.shape
    if channels != 3:
        raise UndefinedValueError(f"LPIPS takes RGB; under protocol {sample.protocol.name} HR has one channel")
    if min(height, width) < SMALLEST[net]:
        raise UndefinedValueError(f"LPIPS needs {SMALLEST[net]} px a side, HR is {width}×{height}")
    with torch.inference_mode():
        model = network(TRUNKS[net].location, net, str(sample.hr.device))
        return float(model(_signed(sample.sr), _signed(sample.hr)))


def _signed(image: torch.Tensor) -> torch.Tensor:
    """Map (3, H, W) in [0, 255] to float32 (1, 3, H, W) in [−1, 1]."""
    import torch

    return image[None].to(torch.float32) / 255 * 2 - 1


def network(trunk: Path, net: Net = "alex", device: str = "cpu") -> Any:
    """Build LPIPS on a file of AlexNet or VGG16 in torchvision's layout; built once per file and device.

    Raises WeightsError when the file cannot be read as that.
    """
    return _network(str(trunk), net, device)


@functools.lru_cache(maxsize=4)
def _network(trunk: str, net: Net, device: str) -> Any:
    import torch

    import_torchvision()
    import lpips

    # A trunk with random weights is the package's only way not to fetch any. On the meta device none are drawn:
    # another thread may be at a method's random numbers.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(The parameter 'pretrained'|Arguments other than a weight)")
        built = lpips.LPIPS(net=net, version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    heads = iqa.load_weights(Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth")
    tensors = {**heads, **_trunk(built, iqa.load_weights(Path(trunk)), trunk, net)}
    try:
        left = built.load_state_dict(tensors, strict=False, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{trunk} is not torchvision's {NAMES[net]}: {reason}") from error
    # `lins` holds the same heads again, and the scaling layer is made of constants.
    if extra := [key for key in left.missing_keys if not key.startswith(("lins.", "scaling_layer."))]:
        raise WeightsError(f"{lpips.__file__}: the package ships no {', '.join(extra)}; reinstall lpips")
    return built.eval().requires_grad_(False).to(device, torch.float32)


def _trunk(built: Any, state: Mapping[str, torch.Tensor], path: str, net: Net) -> dict[str, torch.Tensor]:
    """Rename torchvision's features (features.3.weight) to the package's slices (net.slice2.3.weight)."""
    trunk = {}
    for key in built.state_dict():
        if key.startswith("net."):
            source = f"features.{key.split('.', 2)[2]}"
            if source not in state:
                raise WeightsError(f"{path} is not torchvision's {NAMES[net]}: it has no {source}")
            trunk[key] = state[source]
    return trunk

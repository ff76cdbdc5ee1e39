"""Classic resampling pairs: the same kernel down (antialiased) and up, by MATLAB's rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Build, Method, Option, Rescaler, States, Value
from rescale_bench.api.scales import NativeScales, lr_size

if TYPE_CHECKING:
    import torch

    from rescale_bench.images.resize import Kernel, KernelName

KERNELS: dict[KernelName, str] = {
    "nearest": "nearest neighbour",
    "bilinear": "triangle kernel",
    "bicubic": "Keys' cubic, a = -0.5, the reference of the field",
    "catmull-rom": "the same numbers as bicubic with a = -0.5, under the name of the spline",
    "mitchell": "cubic with B = C = 1/3, between blur and ringing; it smooths, so that enlarging changes pixels too",
    "lanczos3": "windowed sinc, three lobes",
}
# At fractional scales rounding noise of the whole image's coordinates decides ties of "nearest": no tile repeats it.
MARGINS: dict[KernelName, int] = {"bilinear": 2, "bicubic": 3, "catmull-rom": 3, "mitchell": 3, "lanczos3": 4}
CITATIONS = {
    "bicubic": "Keys, Cubic Convolution Interpolation for Digital Image Processing, IEEE TASSP 1981",
    "catmull-rom": "Catmull, Rom, A Class of Local Interpolating Splines, Computer Aided Geometric Design 1974",
    "mitchell": "Mitchell, Netravali, Reconstruction Filters in Computer Graphics, SIGGRAPH 1988",
    "lanczos3": "Duchon, Lanczos Filtering in One and Two Dimensions, J. Appl. Meteorology 1979",
}
ANTIALIAS = Option("antialias", True, "stretch the kernel when shrinking, as MATLAB's imresize does by default")
SHARPNESS = Option("a", -0.5, "Keys' parameter: -0.5 as in MATLAB and Pillow, -0.75 as in OpenCV", low=-3, high=0)


class Resampler:
    """Resample with one kernel in both directions."""

    parameter_count = 0

    def __init__(self, kernel: Kernel, antialias: bool) -> None:
        """Keep the kernel and whether it is stretched when shrinking."""
        self.kernel, self.antialias = kernel, antialias

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Shrink by 1/scale to ceil(side/scale)."""
        from rescale_bench.images.levels import resize_levels

        size = lr_size((hr.shape[-2], hr.shape[-1]), scale)
        return resize_levels(hr, scale=1 / scale, size=size, kernel=self.kernel, antialias=self.antialias)

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Enlarge by the scale itself, cut to the size: the exact inverse of the sampling grid of downscale."""
        from rescale_bench.images.levels import resize_levels

        return resize_levels(lr, scale=scale, size=size, kernel=self.kernel, antialias=self.antialias)


def _build(kernel: KernelName) -> Build:
    def build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
        from rescale_bench.images.resize import Cubic

        del states, device
        chosen = Cubic(0, -float(options[SHARPNESS.name])) if SHARPNESS.name in options else kernel
        return Resampler(chosen, bool(options[ANTIALIAS.name]))

    return build


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield one pair for each kernel."""
    for kernel, words in KERNELS.items():
        yield Method(
            name=kernel,
            summary=f"{kernel} down and up: {words}",
            citation=CITATIONS.get(kernel, "textbook"),
            scales=NativeScales.between("1", "64"),
            build=_build(kernel),
            options=(ANTIALIAS, SHARPNESS) if kernel == "bicubic" else (ANTIALIAS,),
            margin=MARGINS.get(kernel),
        )

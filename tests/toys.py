"""Plugins and pictures that tests make up."""

import numpy as np

HEADER = """
from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Method, Traits
from rescale_bench.api.scales import NativeScales
import torch, torch.nn.functional as F
"""

FIXED = (
    HEADER
    + """
from rescale_bench.networks.fixed_scale import FixedScaleRescaler

class Box(FixedScaleRescaler):
    parameter_count = 0
    def __init__(self, scale): super().__init__(scale, scale)
    def downscale_padded(self, hr): return F.avg_pool2d(hr, self.scale)
    def upscale_padded(self, lr): return F.interpolate(lr, scale_factor=self.scale, mode="nearest")

class Any:
    parameter_count = 0
    def downscale(self, hr, scale): return Box(int(scale)).downscale(hr, scale)
    def upscale(self, lr, scale, size): return Box(int(scale)).upscale(lr, scale, size)

@hookimpl
def rescale_bench_methods():
    yield Method(name="boxes", summary="means over squares, fixed scales", citation="none",
                 scales=NativeScales.of(2, 3, 4), build=lambda states, device, options: Any(), margin=1)
"""
)

MISBEHAVING = (
    HEADER
    + """
def shrink(hr, s): return F.interpolate(hr, size=tuple(-(-side // int(s)) for side in hr.shape[-2:]))

class Base:
    def downscale(self, hr, scale): return shrink(hr, scale)
    def upscale(self, lr, scale, size): return F.interpolate(lr, size=size)
class Raises(Base):
    def upscale(self, lr, scale, size): raise ValueError("no idea")
class Nan(Base):
    def upscale(self, lr, scale, size): return F.interpolate(lr, size=size) / 0 * 0
class Small(Base):
    def upscale(self, lr, scale, size): return lr
class LargeLr(Base):
    def downscale(self, hr, scale): return hr
class Bytes(Base):
    def upscale(self, lr, scale, size): return (F.interpolate(lr, size=size) * 255).to(torch.uint8)
class Nothing(Base):
    def downscale(self, hr, scale): return None
class Leaky(Base):
    secret = []
    def downscale(self, hr, scale):
        Leaky.secret.append(hr)
        return shrink(hr, scale)
    def upscale(self, lr, scale, size):
        kept = [hr for hr in Leaky.secret if hr.shape[-2:] == size]
        return kept[0] if kept else F.interpolate(lr, size=size)
class Remembers(Base):
    calls = 0
    def upscale(self, lr, scale, size):
        Remembers.calls += 1
        return F.interpolate(lr, size=size) * (1 - 0.1 * (Remembers.calls % 2))
class Random(Base):
    def upscale(self, lr, scale, size):
        return (F.interpolate(lr, size=size) + 0.1 * torch.randn(1, 3, *size)).clamp(0, 1)
class Vandal(Base):
    def downscale(self, hr, scale):
        low = shrink(hr, scale)
        hr.zero_()
        return low

@hookimpl
def rescale_bench_methods():
    for kind in (Base, Raises, Nan, Small, LargeLr, Bytes, Nothing, Leaky, Remembers, Random, Vandal):
        yield Method(name=kind.__name__.lower(), summary="toy", citation="none", scales=NativeScales.of(2),
                     build=lambda states, device, options, kind=kind: kind())
    def fails(states, device, options): raise RuntimeError("cannot build")
    yield Method(name="unbuildable", summary="toy", citation="none", scales=NativeScales.of(2), build=fails)
"""
)


def plugin_file(folder, text, name="toy"):
    path = folder / f"{name}.py"
    path.write_text(text)
    return str(path)


def picture(height, width, seed=0):
    """A repeatable colour picture: gradients, edges, a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [np.sin(x / 7 + seed) + np.cos(y / 5), (x // 9 + y // 6) % 2 * 2.0, x / width + y / height]
    image = np.stack(planes, axis=-1) * 55 + 60 + rng.normal(0, 4, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def picture_folder(folder, count=3, size=(48, 56)):
    """Write a few pictures as PNG."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(picture(size[0] + 2 * index, size[1], index)).save(folder / f"p{index}.png")
    return folder

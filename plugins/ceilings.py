"""Ceilings: how well the HR can be kept in the bytes, or the numbers, of an LR that nobody has to look at.

`ceiling-jxl` and `ceiling-jp2` code the HR itself in at most the bytes of an LR file, `NAME-ceiling-jxl` in those of
the LR of the method NAME; a better codec would reach more. `pca` keeps as many numbers as the LR has, block by block.
None makes a small picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import (
    Codec,
    Find,
    Method,
    MethodRule,
    Option,
    Rescaler,
    States,
    Traits,
    Value,
    qualified,
    states_of,
)
from rescale_bench.api.scales import NativeScales, exact, is_integer, lr_size
from rescale_bench.codecs import encode_decode
from rescale_bench.codecs.imagecodecs_formats import JXL
from rescale_bench.codecs.pillow_formats import JP2, PNG
from rescale_bench.errors import MethodError, NotNativeError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

BUDGET = Option(
    "budget", "png", "bytes of the PNG of the bicubic LR, or 3 for each LR pixel (raw)", choices=("png", "raw")
)
LOSSLESS = Option("lossless", False, "take the lossless file where it is small enough; PSNR is then infinite")
EFFORT = Option("effort", 5, "libjxl's effort", low=1, high=9)
BLOCK = Option("block", 2, "LR pixels on each side of a block", low=1, high=4)
CODECS: tuple[tuple[Codec, str, tuple[Option, ...]], ...] = (
    (JXL, "JPEG XL", (LOSSLESS, EFFORT)),
    (JP2, "JPEG 2000", (LOSSLESS,)),
)
"""The codecs of ceilings, what they are called, and the options of a ceiling beside its budget."""
CLOSE = 0.9975
"""Part of the budget that is aimed at; a file of its square is large enough."""
STEPS = 6
"""Files that are tried at most between the ends."""
CITATION = "rescale-bench (docs/methods.md, ceilings)"


class Ceiling:
    """Replace the HR by what is left of it; nothing remains to be done for the upscaler."""

    parameter_count = 0

    def __init__(self, kept: Callable[[torch.Tensor, float], torch.Tensor]) -> None:
        """Take the function (HR (1, 3, H, W) in [0, 1], scale) → what is left of it, of the same shape."""
        self.kept = kept

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return what is left of the HR, at its full size."""
        return self.kept(hr, scale)

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image that downscale made."""
        del scale, size
        return lr


def coded(codec: Codec, options: Mapping[str, Value], most: int, hr: torch.Tensor) -> torch.Tensor:
    """Code the HR in at most so many bytes, and decode it.

    hr: (1, 3, H, W) in [0, 1]. Returns the same shape. Raises MethodError where no setting gives so small a file.
    """
    import torch

    decoded = _largest(codec, _pixels(hr), most, options)
    return torch.from_numpy(decoded.copy()).permute(2, 0, 1)[None].to(torch.float32) / 255


def budget(hr: torch.Tensor, scale: float, kind: str) -> int:
    """Count the bytes of the LR of an HR (1, 3, H, W): of the PNG of the bicubic one, or three for each pixel."""
    from rescale_bench.images.levels import resize_levels

    size = lr_size((hr.shape[-2], hr.shape[-1]), scale)
    if kind == "raw":
        return 3 * size[0] * size[1]
    return png_bytes(resize_levels(hr, scale=1 / scale, size=size))


def png_bytes(lr: torch.Tensor) -> int:
    """Count the bytes of the PNG of an LR (1, C, h, w)."""
    return len(encode_decode(PNG, _pixels(lr), {})[0])


def _pixels(image: torch.Tensor) -> np.ndarray:
    """Bring an image (1, C, H, W) in [0, 1] to 8-bit levels (H, W, C)."""
    from rescale_bench.images.levels import to_levels

    return to_levels(image[0].cpu(), "round").permute(1, 2, 0).contiguous().numpy()


def _largest(codec: Codec, pixels: np.ndarray, most: int, options: Mapping[str, Value]) -> np.ndarray:
    """Return the decoded pixels of the largest file of at most so many bytes. Raises MethodError where none is."""
    effort = {EFFORT.name: options[EFFORT.name]} if EFFORT.name in options else {}
    if options[LOSSLESS.name]:
        file, decoded = encode_decode(codec, pixels, effort)
        if len(file) <= most:
            return decoded

    bits = 8 * most / (pixels.shape[0] * pixels.shape[1])

    def attempt(setting: float) -> _Attempt:
        file, decoded = encode_decode(codec, pixels, {**effort, **SETTINGS[codec.name](setting, bits)})
        return _Attempt(setting, len(file), decoded)

    large, small = attempt(0.0), attempt(1.0)
    if large.size <= most:
        return large.decoded
    if small.size > most:
        raise MethodError(f"no {codec.name} file of {pixels.shape[1]}×{pixels.shape[0]} pixels fits into {most} bytes")
    for _ in range(STEPS):
        if small.size >= CLOSE**2 * most:
            break
        middle = attempt(_between(large, small, CLOSE * most))
        large, small = (large, middle) if middle.size <= most else (middle, small)
    return small.decoded


class _Attempt(NamedTuple):
    """A setting, from 0 for the finest to 1 for the coarsest, the bytes of its file, and what the file gives back."""

    setting: float
    size: int
    decoded: np.ndarray


def _between(large: _Attempt, small: _Attempt, wanted: float) -> float:
    """Choose a setting between two by the logarithms of their sizes, not too near to either."""
    part = math.log(large.size / wanted) / math.log(large.size / small.size)
    return large.setting + min(max(part, 0.05), 0.95) * (small.setting - large.setting)


def _distance(setting: float, bits: float) -> dict[str, Value]:
    """Choose JPEG XL's distance, from 0.01 to 25."""
    del bits
    return {"distance": 0.01 * 2500**setting}


def _rate(setting: float, bits: float) -> dict[str, Value]:
    """Choose JPEG 2000's rate, which its files nearly keep, from 5 % above the budget's bits per pixel to a half."""
    return {"rate": min(24.0, bits * 1.05 * (0.5 / 1.05) ** setting)}


SETTINGS: Mapping[str, Callable[[float, float], dict[str, Value]]] = {"jxl": _distance, "jp2": _rate}
"""Codec → (0 for the finest setting to 1 for the coarsest, bits per pixel that it may take) → its options."""


def principal(side: int, hr: torch.Tensor, scale: float) -> torch.Tensor:
    """Keep the strongest principal components of an image's blocks, as many numbers as its LR has.

    A block has side × side LR pixels, thus 3·side² numbers of 3·(side·s)². hr: (1, 3, H, W); sides that are no
    multiples of a block's are continued by their last pixels. The components are the image's own, are not counted, and
    nothing is rounded, so that no linear pair of downscaler and upscaler that treats these blocks apart has a smaller
    mean squared error in RGB (Eckart and Young, Psychometrika 1936). One that looks beyond a block may: bicubic beats
    blocks of one LR pixel.
    """
    import torch
    from torch.nn import functional

    if not is_integer(scale):
        raise NotNativeError(f"pca serves whole numbers, not {exact(scale)}")
    step, (height, width) = side * int(scale), hr.shape[-2:]
    image = functional.pad(hr.to(torch.float64), (0, -width % step, 0, -height % step), mode="replicate")
    blocks = functional.unfold(image, step, stride=step)[0].T
    mean = blocks.mean(dim=0)
    centred = blocks - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors[:, -3 * side * side :]
    kept = (centred @ basis @ basis.T + mean).T[None]
    return functional.fold(kept, image.shape[-2:], step, stride=step)[..., :height, :width]


def _coder(codec: Codec, states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    del states

    def kept(hr: torch.Tensor, scale: float) -> torch.Tensor:
        return coded(codec, options, budget(hr.cpu(), scale, str(options[BUDGET.name])), hr).to(device)

    return Ceiling(kept)


def of_method(codec: Codec, options: tuple[Option, ...], name: str, find: Find) -> Method | None:
    """Make `NAME-ceiling-CODEC`, whose budget is the PNG of that method's own LR; None where the name ends otherwise.

    Raises UsageError where NAME has no LR, or one that its own codec does not keep as it is.
    """
    ending = f"-ceiling-{codec.name}"
    if not name.endswith(ending):
        return None
    inner = find(name.removesuffix(ending))
    if inner.traits.ceiling or inner.configure or inner.codec or "down" not in inner.halves:
        raise UsageError(f"{name}: {inner.name} has no LR whose PNG could be counted", "methods")

    def build(states: States, device: str, chosen: Mapping[str, Value]) -> Rescaler:
        own = {option.name: chosen[option.name] for option in inner.options}
        rescaler = inner.build(states_of(inner, states), device, own)

        def kept(hr: torch.Tensor, scale: float) -> torch.Tensor:
            return coded(codec, chosen, png_bytes(rescaler.downscale(hr, scale)), hr).to(device)

        return Ceiling(kept)

    return Method(
        name=name,
        summary=f"the HR itself in at most the bytes of the PNG of the LR of {inner.name}: a ceiling, not a rescaler",
        citation=CITATION,
        scales=inner.scales,
        build=build,
        version=f"{inner.version}/ceiling-1",
        options=(*inner.options, *options),
        parts=lambda scale: tuple(qualified(inner, part) for part in inner.parts(scale)),
        traits=Traits(ceiling=True, derived=True, indirect=inner.traits.indirect, external=inner.traits.external),
    )


def _linear(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    del states, device
    return Ceiling(partial(principal, int(options[BLOCK.name])))


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the ceilings."""
    for codec, words, options in CODECS:
        yield Method(
            name=f"ceiling-{codec.name}",
            summary=f"the HR itself as {words} in at most the bytes of the LR's file: a ceiling, not a rescaler",
            citation=CITATION,
            scales=NativeScales.between("1", "64"),
            build=partial(_coder, codec),
            options=(BUDGET, *options),
            traits=Traits(ceiling=True),
        )
    yield Method(
        name="pca",
        summary="principal components of each image's blocks, as many numbers as its LR: a ceiling of linear pairs",
        citation="Eckart, Young, The approximation of one matrix by another of lower rank, Psychometrika 1936",
        scales=NativeScales.of(*range(2, 17)),
        build=_linear,
        options=(BLOCK,),
        traits=Traits(ceiling=True),
    )


@hookimpl
def rescale_bench_method_rules() -> Iterable[MethodRule]:
    """Yield the ceilings whose budget is another method's LR; they are asked before wrappers and pairs."""
    for codec, words, options in CODECS:
        summary = f"the HR as {words} in at most the bytes of the PNG of that method's LR: a ceiling"
        yield MethodRule(f"NAME-ceiling-{codec.name}", summary, partial(of_method, codec, options), 20)

"""One round trip: HR → LR → file → LR → HR', sealed between its two halves.

The upscaler is a second instance, built on its own; it gets the decoded LR, the scale and the HR size,
and nothing else can reach it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.records import Codec, Costs, Damage, Method, Passage, Protocol, Sample, Value, count_parameters
from rescale_bench.codecs import decode, encode_decode
from rescale_bench.errors import MethodError, NotNativeError
from rescale_bench.machine import profiling
from rescale_bench.protocols.named import crop_multiple, reference_size
from rescale_bench.roundtrip.damages import damaged
from rescale_bench.roundtrip.halves import Halves, Run, run_half

if TYPE_CHECKING:
    import numpy as np
    import torch


IDLE, IDLE_PER_PIXEL = 2**26, 512
"""Bytes of freed memory that halves may find instead of asking the system for pages; IRN takes 285 a pixel."""


@dataclass(frozen=True)
class Loop:
    """What stands between the halves: the file format, and the damages that follow each other after decoding."""

    codec: Codec
    options: Mapping[str, Value]
    damages: tuple[tuple[Damage, Mapping[str, Value]], ...] = ()


def prepare_hr(pixels: np.ndarray, grey: bool, protocol: Protocol, scale: Decimal, crop: int = 1) -> torch.Tensor:
    """Bring an image to what the protocol measures on.

    pixels: uint8 (H, W, 3). grey: whether the file held one channel. crop: sides cut to multiples of it first.
    Returns uint8 (3, H, W), or (1, H, W) where the protocol works on Y. Raises MethodError when nothing is left.
    """
    import torch

    image = torch.from_numpy(pixels).permute(2, 0, 1)
    for multiple in (crop, crop_multiple(protocol, scale)):
        height, width = (side // multiple * multiple for side in image.shape[-2:])
        image = image[:, :height, :width]
    if min(image.shape[-2:]) < 2:
        raise MethodError(f"an image of {pixels.shape[1]}×{pixels.shape[0]} is too small for scale {scale}")
    return measured_planes(image, grey, protocol)


def measured_planes(image: torch.Tensor, grey: bool, protocol: Protocol) -> torch.Tensor:
    """Keep what a protocol measures of an image, uint8 (3, H, W): all of it, or (1, H, W) where it works on Y."""
    import torch

    from rescale_bench.images import color

    if protocol.plane == "rgb":
        return image.contiguous()
    if grey:
        return image[:1].contiguous()
    return color.luma(image, "bt601-rounded").to(torch.uint8)[None]


def reference_lr(hr: torch.Tensor, protocol: Protocol, scale: Decimal, lr_float: bool | None = None) -> torch.Tensor:
    """Make the bicubic LR that LR scores compare with, as prepare_hr's type: uint8, or float32 in [0, 255].

    lr_float: keep it in float; by default as the protocol scores LR.
    """
    import torch

    from rescale_bench.images import levels

    size = reference_size((hr.shape[-2], hr.shape[-1]), scale)
    small = levels.resize_levels(hr.to(torch.float64) / 255, scale=1 / float(scale), size=size).clamp_(0, 1)
    as_float = protocol.lr_scores == "float" if lr_float is None else lr_float
    return levels.to_levels(small, "none" if as_float else "round")


def round_trip(
    halves: Halves,
    hr: torch.Tensor,
    scale: Decimal,
    protocol: Protocol,
    loop: Loop,
    seed: int,
    reference: torch.Tensor,
    macs: bool = False,
) -> Sample:
    """Run one cell and return what the metrics judge.

    hr: from prepare_hr. reference: from reference_lr. seed: what random draws of the halves start from.
    Raises MethodError when a half breaks its contract, CodecError when the file format does.
    """
    return round_trips(halves, [hr], scale, protocol, loop, seed, [reference], macs)[0]


def round_trips(
    halves: Halves,
    hrs: Sequence[torch.Tensor],
    scale: Decimal,
    protocol: Protocol,
    loop: Loop,
    seed: int,
    references: Sequence[torch.Tensor],
    macs: bool = False,
    fresh: bool = False,
    damage_seeds: Sequence[int] = (),
) -> list[Sample]:
    """Run the cells of images of one size, which go through a half together; arguments and errors as in round_trip.

    The seconds of a half are shared out evenly; the peak memory is that of the whole batch.
    fresh: keep all that was freed earlier out of the peaks, at the cost of some of the halves' time.
    damage_seeds: what random draws of the loop's damages start from, image by image; seed for all by default.
    Raises DamageError too.
    """
    from rescale_bench.images import levels

    method, count = halves.method, len(hrs)
    idle = 0 if fresh else IDLE + count * IDLE_PER_PIXEL * hrs[0].shape[-2] * hrs[0].shape[-1]
    size = (hrs[0].shape[-2], hrs[0].shape[-1])
    images = _stacked([_to_input(hr, halves.device) for hr in hrs])
    down = _downscale(halves, images.clone(), scale, seed, idle)
    again = partial(_again, halves, scale, size, protocol, loop, seed, hrs[0].shape[0])
    files = [
        _through_file(lr, protocol, method, loop, _passage(own, again))
        for lr, own in zip(down.images, damage_seeds or [seed] * count, strict=True)
    ]
    received = _stacked([each for _, _, each in files])
    up = _upscale(halves, received, scale, size, seed, idle)
    # Convolutions of a batch cost what those of its images cost, so that one image is enough to count.
    outside = method.traits.external
    counts = _macs(halves, images[:1], received[:1], scale, size) if macs and not outside else (None, None)
    peaks = (None, None) if outside else (down.peak_mb, up.peak_mb)
    costs = Costs(down.seconds / count, up.seconds / count, *peaks, count_parameters(halves.down), *counts)
    return [
        Sample(
            hr=hr,
            sr=levels.to_levels(sr[: hr.shape[0]], protocol.sr_rounding),
            lr=_scored_lr(lr, got[0], protocol),
            lr_reference=reference,
            lr_sent=sent,
            file=file,
            scale=scale,
            protocol=protocol,
            costs=costs,
        )
        for hr, lr, (sent, file, got), sr, reference in zip(hrs, down.images, files, up.images, references, strict=True)
    ]


def downscale_file(
    halves: Halves, hr: torch.Tensor, scale: Decimal, protocol: Protocol, loop: Loop, seed: int
) -> bytes:
    """Shrink an image into the LR file that round_trip sends, from the same arguments.

    Raises MethodError, also for a ceiling, which sends no file, and CodecError.
    """
    down = _downscale(halves, _to_input(hr, halves.device), scale, seed)
    _, file, _ = _through_file(down.images[0], protocol, halves.method, loop)
    if file is None:
        raise MethodError(f"{halves.method.name} is a ceiling and no rescaler: its small image does not fit a file")
    return file


def upscale_file(
    halves: Halves, loop: Loop, file: bytes, scale: Decimal, size: tuple[int, int], seed: int
) -> torch.Tensor:
    """Restore an image from its LR file alone, as round_trip does; returns (3, H, W) in [0, 1].

    size: of the HR (height, width). seed: the one that round_trip was given.
    Raises CodecError for a file that cannot be decoded, MethodError for an LR of another size and for a broken half.
    """
    method = halves.method
    received = _received(decode(loop.codec, file, method.lr_channels))
    low, due = tuple(received.shape[1:]), (method.lr_channels, *reference_size(size, scale))
    if low != due:
        found, wanted = ("×".join(map(str, shape)) for shape in (low, due))
        raise MethodError(f"{method.name}: an LR of {found} where {size[0]}×{size[1]} at scale {scale} has {wanted}")
    return _upscale(halves, received, scale, size, seed).images[0]


def _downscale(halves: Halves, images: torch.Tensor, scale: Decimal, seed: int, idle: int = 0) -> Run:
    """Run the downscaler on images (N, 3, H, W) in [0, 1] on its device. idle: as in run_half. Raises MethodError."""
    method, size = halves.method, (images.shape[-2], images.shape[-1])
    if scale not in method.scales:
        raise NotNativeError(f"{method.name} serves {method.scales}, not {scale}")
    expected = None if method.traits.ceiling else (method.lr_channels, *reference_size(size, scale))
    shrink = partial(halves.down.downscale, images, float(scale))
    return run_half(halves, "downscale", shrink, seed, expected, len(images), idle)


def _upscale(
    halves: Halves, received: torch.Tensor, scale: Decimal, size: tuple[int, int], seed: int, idle: int = 0
) -> Run:
    """Run the upscaler on what _received gave, to images of the given size. Raises MethodError."""
    enlarge = partial(halves.up.upscale, received.to(halves.device), float(scale), size)
    return run_half(halves, "upscale", enlarge, seed + 1, (3, *size), len(received), idle)


def cell_seed(seed: int, *identity: str) -> int:
    """Derive the seed of a cell from the run's seed and what identifies the cell; 32 bits."""
    text = "\n".join((str(seed), *identity))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _to_input(hr: torch.Tensor, device: str) -> torch.Tensor:
    import torch

    image = hr.to(torch.float32).div_(255)[None]
    return (image.expand(-1, 3, -1, -1).contiguous() if image.shape[1] == 1 else image).to(device)


def _stacked(images: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    return images[0] if len(images) == 1 else torch.cat(list(images))


_File = tuple["torch.Tensor | None", "bytes | None", "torch.Tensor"]


def _passage(seed: int, again: Callable[[int, np.ndarray], np.ndarray]) -> Passage:
    """Make what an image's damages may use. again: (number of the trip, pixels) → pixels."""
    import numpy as np

    trips = itertools.count(1)
    # Its streams never change with NumPy's version, unlike those of Generator (NEP 19).
    return Passage(np.random.RandomState(seed), lambda pixels: again(next(trips), pixels))


def _again(
    halves: Halves,
    scale: Decimal,
    size: tuple[int, int],
    protocol: Protocol,
    loop: Loop,
    seed: int,
    channels: int,
    trip: int,
    pixels: np.ndarray,
) -> np.ndarray:
    """Enlarge an LR, uint8 (h, w, C), shrink what came out, and code that; draws differ from trip to trip."""
    from rescale_bench.images import levels

    seed += 2 * trip
    restored = _upscale(halves, _received(pixels), scale, size, seed).images[0]
    hr = levels.to_levels(restored[:channels], protocol.sr_rounding)
    lr = _downscale(halves, _to_input(hr, halves.device), scale, seed).images[0]
    received = _through_file(lr, protocol, halves.method, loop)[2]
    return levels.to_levels(received[0], "round").permute(1, 2, 0).contiguous().numpy()


def _through_file(
    lr: torch.Tensor, protocol: Protocol, method: Method, loop: Loop, passage: Passage | None = None
) -> _File:
    """Return the 8-bit LR as sent, its file, and what the upscaler gets (1, C, h, w); no file where floats pass.

    passage: of the loop's damages; none happens without.
    """
    import torch

    from rescale_bench.images import levels

    if protocol.lr_rounding == "none" or method.traits.ceiling:
        return None, None, lr[None].to(torch.float32)
    sent = levels.to_levels(lr, "round")
    pixels = sent.permute(1, 2, 0).contiguous().numpy()
    file, decoded = encode_decode(loop.codec, pixels, loop.options)
    if passage is not None:
        for damage, options in loop.damages:
            decoded = damaged(damage, decoded, options, passage)
    return sent, file, _received(decoded)


def _received(decoded: np.ndarray) -> torch.Tensor:
    """Turn decoded pixels, uint8 (h, w, C), into what the upscaler gets, (1, C, h, w) in [0, 1]."""
    import torch

    pixels = torch.from_numpy(decoded.copy()).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div_(255)[None]


def _scored_lr(lr: torch.Tensor, received: torch.Tensor, protocol: Protocol) -> torch.Tensor:
    from rescale_bench.images import levels

    if protocol.lr_scores == "float":
        plane = lr[:1] if protocol.plane == "y" else lr
        return levels.to_levels(plane, "none")
    return levels.to_levels(received, "round")


def _macs(
    halves: Halves, image: torch.Tensor, received: torch.Tensor, scale: Decimal, size: tuple[int, int]
) -> tuple[int, int]:
    down = profiling.count_macs(lambda: halves.down.downscale(image, float(scale)))
    up = profiling.count_macs(lambda: halves.up.upscale(received.to(halves.device), float(scale), size))
    return down, up

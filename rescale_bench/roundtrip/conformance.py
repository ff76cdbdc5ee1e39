"""Does a method keep its contract? The checks behind `verify` and behind the test suite of every method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from rescale_bench.api.registry import Registry
from rescale_bench.api.scales import lr_size, parse_scales
from rescale_bench.errors import MethodError, NotNativeError, RescaleBenchError
from rescale_bench.images import levels
from rescale_bench.roundtrip.halves import Halves
from rescale_bench.roundtrip.seal import SEED, Subject, Trips, restored_elsewhere
from rescale_bench.roundtrip.tiling import GRID, Tiled, draws, margin_of

if TYPE_CHECKING:
    import torch

SIZES = ((45, 62), (97, 131), (321, 481))
SCALES = parse_scales("1.1,1.9,2,2.5,3,3.7,4")
TILE_TOLERANCE = BATCH_TOLERANCE = 1e-5
STRIP = 32
"""Shorter side of the images that tiles are compared on, LR pixels."""


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it held ("ok", "failed" or "n/a"), and what was seen."""

    check: str
    status: str
    detail: str


def make_image(size: tuple[int, int]) -> torch.Tensor:
    """Make a repeatable picture with edges, gradients and texture; uint8 (3, H, W)."""
    import torch

    height, width = size
    generator = torch.Generator().manual_seed(height * 10_007 + width)
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    planes = [torch.sin(6.3 * (2 * x + y)), ((x * 7).floor() + (y * 5).floor()) % 2, x * y]
    image = torch.stack(planes) * 0.35 + 0.45 + 0.06 * torch.randn(3, height, width, generator=generator)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def native_scales(subject: Subject, scales: Sequence[Decimal] = SCALES) -> list[Decimal]:
    """Pick the scales of a list that the method serves; its own where it serves none of them."""
    served = [scale for scale in scales if scale in subject.method.scales]
    return served or sorted(subject.method.scales.values or [subject.method.scales.high])[:2]


def verify(
    spec: str,
    registry: Registry,
    sizes: Sequence[tuple[int, int]] = SIZES,
    scales: Sequence[Decimal] = SCALES,
    separate: bool = True,
    tiles: bool = True,
) -> Iterator[Finding]:
    """Check one method, finding by finding.

    spec: as on the command line (`irn:weights=random`). separate: also repeat in another process.
    tiles: also compare a tile with the whole, which a wide margin makes slow.
    Raises UsageError and UnavailableError where the method cannot be had at all.
    """
    subject = Subject(spec, registry)
    served = native_scales(subject, scales)
    trips: Trips = {}
    for size in sizes:
        for scale in served:
            yield _caught(f"round trip {size[0]}×{size[1]} at ×{scale}", partial(_sizes, subject, size, scale, trips))
    if not trips:
        return
    yield _caught("same result twice, one instance", lambda: _twice(subject, trips))
    if separate:
        yield _caught("same result in another process and order (the seal)", lambda: restored_elsewhere(subject, trips))
    yield _caught("a batch equals its images", lambda: _batch(subject, served[0]))
    if tiles:
        yield _caught("tiles equal the whole", lambda: _tiles(subject, served))
    yield _caught("clear error beyond the native scales", lambda: _beyond(subject, sizes[0]))


def _caught(check: str, call: Callable[[], str | None]) -> Finding:
    try:
        detail = call()
    except RescaleBenchError as error:
        return Finding(check, "failed", str(error))
    except Exception as error:
        return Finding(check, "failed", f"{type(error).__name__}: {error}")
    return Finding(check, "n/a" if detail is None else "ok", detail or "the method declares that this does not apply")


def _sizes(subject: Subject, size: tuple[int, int], scale: Decimal, trips: Trips) -> str:
    trips[size, scale] = subject.trip(make_image(size), scale)
    low = "its own" if subject.method.traits.ceiling else "×".join(map(str, lr_size(size, scale)))
    return f"LR {low}, 8 bit, finite, HR {size[0]}×{size[1]} back"


def _twice(subject: Subject, trips: Trips) -> str:
    (size, scale), first = next(iter(trips.items()))
    halves = Halves(subject.method, subject.build(scale), subject.build(scale))
    for attempt in (1, 2):
        if subject.trip(make_image(size), scale, halves) != first:
            raise MethodError(f"{subject.spec}: result {attempt} at ×{scale} differs from the first one")
    return "bit-identical"


def _tiles(subject: Subject, served: Sequence[Decimal]) -> str | None:
    """Compare tiles of the declared margin with the whole, for both halves, on a high and on a wide strip."""
    import torch

    method = subject.method
    whole_scales = [scale for scale in served if scale == scale.to_integral_value()]
    if not whole_scales:
        return None
    scale = whole_scales[0]
    margin = margin_of(method, partial(subject.states, scale), subject.chosen.options)
    if margin is None:
        return None
    rescaler = subject.build(scale)
    # Two tiles in the long direction; each lacks at least 16 LR pixels of what is beyond its margin.
    long = 2 * GRID * -(-(margin + 2 * GRID + GRID // 2) // GRID)
    tiled = Tiled(rescaler, margin, long // 2)
    worst = 0.0
    for low in ((long, STRIP), (STRIP, long)):
        size = (low[0] * int(scale), low[1] * int(scale))
        image = make_image(size)[None].to(torch.float32) / 255
        whole = rescaler.downscale(image, float(scale))
        worst = max(worst, float((whole - tiled.downscale(image, float(scale))).abs().max()))
        lr = whole.clamp(0, 1).to(torch.float32)
        torch.manual_seed(SEED)
        big = rescaler.upscale(lr, float(scale), size)
        worst = max(worst, float((big - tiled.upscale(lr, float(scale), size)).abs().max()))
    if worst > TILE_TOLERANCE:
        raise MethodError(f"{subject.spec}: a tile with margin {margin} differs from the whole by {worst:.2g}")
    return f"largest difference {worst:.1g} with a margin of {margin} LR pixels at ×{scale}"


def _batch(subject: Subject, scale: Decimal) -> str | None:
    """Compare two images that go through each half at once with the same two alone."""
    import torch

    method, size = subject.method, (48, 56)
    if not method.traits.batches:
        return None
    pictures = torch.stack([make_image(size), make_image(size).flip(1)])
    images = pictures.to(torch.float32) / 255
    rescaler = subject.build(scale)

    def worst(half: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> float:
        alone = torch.cat([half(image.clone()) for image in torch.split(inputs, 1)])
        return float((half(inputs.clone()) - alone).abs().max())

    lrs = torch.cat([rescaler.downscale(image.clone(), float(scale)) for image in torch.split(images, 1)])
    lrs = levels.to_levels(lrs.clamp(0, 1), "round").to(torch.float32) / 255
    found = [worst(lambda x: rescaler.downscale(x, float(scale)), images)]
    if not draws(method, partial(subject.states, scale), subject.chosen.options):
        found.append(worst(lambda x: rescaler.upscale(x, float(scale), size), lrs))
    if max(found) > BATCH_TOLERANCE:
        raise MethodError(f"{subject.spec}: an image in a batch differs from the same image alone by {max(found):.2g}")
    return f"largest difference {max(found):.1g} at ×{scale}"


def _beyond(subject: Subject, size: tuple[int, int]) -> str:
    """Ask for a scale that is not served, of the harness and of the method itself."""
    scale = next(
        s for s in (Decimal("4.5"), Decimal("1.25"), Decimal("63.9"), Decimal(1)) if s not in subject.method.scales
    )
    near = native_scales(subject)[0]
    halves = Halves(subject.method, subject.build(near), subject.build(near))
    try:
        subject.trip(make_image(size), scale, halves)
    except NotNativeError as error:
        return str(error)
    raise MethodError(f"{subject.spec} took scale {scale}, which it does not declare")

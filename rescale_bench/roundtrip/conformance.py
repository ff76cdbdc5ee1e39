"""Does a method keep its contract? The checks behind `verify` and behind the test suite of every method."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Protocol, States
from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.scales import lr_size, parse_scales
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import MethodError, NotNativeError, RescaleBenchError
from rescale_bench.images import levels
from rescale_bench.roundtrip.cell import Halves, Loop, prepare_hr, reference_lr, round_trip, upscale_file
from rescale_bench.roundtrip.tiling import draws, margin_of
from rescale_bench.weights.choice import choose_weights, load_states

if TYPE_CHECKING:
    import torch

SIZES = ((45, 62), (97, 131), (321, 481))
SCALES = parse_scales("1.1,1.9,2,2.5,3,3.7,4")
SEED = 7
TILE_TOLERANCE = BATCH_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it held ("ok", "failed" or "n/a"), and what was seen."""

    check: str
    status: str
    detail: str


class Subject:
    """A method under test, with its weights."""

    def __init__(self, spec: str, registry: Registry) -> None:
        """Find the method. Raises UsageError."""
        self.spec, self.registry = spec, registry
        self.chosen: Chosen = registry.choose_method(parse_spec(spec, "methods"))
        self.method = self.chosen.record

    def build(self, scale: Decimal) -> Any:
        """Build one half's instance for a scale."""
        return self.method.build(self.states(scale), "cpu", self.chosen.options)

    def states(self, scale: Decimal) -> States:
        """Load the weights of a scale."""
        files = choose_weights(self.chosen, scale, self.registry).files
        return load_states(files, self.registry, self.method.traits.derived)

    @property
    def protocol(self) -> Protocol:
        """Measure whole images, so that odd sizes stay odd."""
        return self.registry.protocols["rgb8-whole"]

    @property
    def loop(self) -> Loop:
        """Use the codec that the method asks for."""
        codec = self.registry.own_codec(self.method)
        return Loop(codec.record, codec.options)

    def trip(self, hr: torch.Tensor, scale: Decimal, halves: Halves | None = None) -> Trip:
        """Run one round trip."""
        halves = halves or Halves(self.method, self.build(scale), self.build(scale))
        reference = reference_lr(hr, self.protocol, scale)
        sample = round_trip(halves, hr, scale, self.protocol, self.loop, SEED, reference)
        return Trip(sample.file, _hash(sample.sr))

    def restore(self, file: bytes, scale: Decimal, size: tuple[int, int]) -> str:
        """Run the upscaler alone on a file, in a process that may never have seen the image."""
        sr = upscale_file(self.build(scale), self.method, self.loop, file, scale, size, SEED)
        return _hash(levels.to_levels(sr, self.protocol.sr_rounding))


@dataclass(frozen=True)
class Trip:
    """What a round trip left: the LR file (None for a ceiling) and a hash of the restored image."""

    file: bytes | None
    restored: str


def _hash(image: torch.Tensor) -> str:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()


Trips = dict[tuple[tuple[int, int], Decimal], Trip]


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
        yield _caught("same result in another process and order (the seal)", lambda: _elsewhere(subject, trips))
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


def _elsewhere(subject: Subject, trips: Trips) -> str | None:
    """Give the LR files to a fresh interpreter that never sees the images, in reverse order.

    Whatever the downscaler left behind outside the file (an attribute, a global) is missing there.
    """
    import torch

    files = [(size, scale, trip) for (size, scale), trip in reversed(trips.items()) if trip.file is not None]
    if not files:
        return None
    with tempfile.TemporaryDirectory() as folder:
        for index, (size, scale, trip) in enumerate(files):
            (Path(folder) / f"{index}_{size[0]}_{size[1]}_{scale}").write_bytes(trip.file or b"")
        code = (
            f"import sys, torch; torch.set_num_threads({torch.get_num_threads()}); "
            "from rescale_bench.roundtrip.conformance import replay; replay(*sys.argv[1:])"
        )
        command = [sys.executable, "-c", code, subject.spec, folder, *subject.registry.files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MethodError(f"{subject.spec}: the other process failed: {done.stderr.strip().splitlines()[-1]}")
    for found, (size, scale, trip) in zip(done.stdout.split(), files, strict=True):
        if found != trip.restored:
            raise MethodError(
                f"{subject.spec}: restored from its file alone, {size[0]}×{size[1]} at ×{scale} comes out differently: "
                "something besides the LR file reached the upscaler, or a result depends on earlier ones"
            )
    return f"{len(files)} files restored bit-identically"


def replay(spec: str, folder: str, *files: str) -> None:
    """Restore every LR file of a folder, in the order of their numbers, and print the trips (another process does)."""
    from rescale_bench.api.registry import load_registry

    subject = Subject(spec, load_registry(files))
    for path in sorted(Path(folder).iterdir(), key=lambda path: int(path.name.partition("_")[0])):
        _, height, width, scale = path.name.split("_")
        print(subject.restore(path.read_bytes(), Decimal(scale), (int(height), int(width))))


def _tiles(subject: Subject, served: Sequence[Decimal]) -> str | None:
    """Compare a tile run with its declared margin against the same part of the whole, for both halves."""
    import torch

    method = subject.method
    whole_scales = [scale for scale in served if scale == scale.to_integral_value()]
    if not whole_scales:
        return None
    scale, core = whole_scales[0], 16
    factor, margin = int(scale), margin_of(method, partial(subject.states, scale), subject.chosen.options)
    if margin is None:
        return None
    side = (2 * margin + core) + 32 - (2 * margin + core) % 16
    hr = prepare_hr(make_image((side * factor, side * factor)).permute(1, 2, 0).numpy(), False,
                    subject.registry.protocols["rgb8"], scale)  # fmt: skip
    image = hr[None].to(torch.float32) / 255
    rescaler = subject.build(scale)
    start, end = margin + 8 - margin % 8, margin + 8 - margin % 8 + core
    low, high = start - margin - (start - margin) % 8, min(side, end + margin + (-(end + margin)) % 8)
    whole = rescaler.downscale(image, float(scale))
    part = image[..., low * factor : high * factor, low * factor : high * factor]
    inner = slice(start - low, end - low)
    down = (whole[..., start:end, start:end] - rescaler.downscale(part, float(scale))[..., inner, inner]).abs().max()
    lr = whole.clamp(0, 1).to(torch.float32)
    torch.manual_seed(SEED)
    big = rescaler.upscale(lr, float(scale), (side * factor, side * factor))
    size = ((high - low) * factor,) * 2
    small = rescaler.upscale(lr[..., low:high, low:high], float(scale), size)
    outer, inner = slice(start * factor, end * factor), slice((start - low) * factor, (end - low) * factor)
    up = (big[..., outer, outer] - small[..., inner, inner]).abs().max()
    worst = float(torch.maximum(down, up))
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

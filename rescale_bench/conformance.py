"""Does a method keep its contract? The checks behind `verify` and behind the test suite of every method."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import MethodError, NotNativeError, RescaleBenchError
from rescale_bench.plugin_manager import Chosen, Registry
from rescale_bench.protocols import with_switches
from rescale_bench.roundtrip import Halves, Loop, prepare_hr, reference_lr, round_trip
from rescale_bench.method_weights import choose_weights, load_states
from rescale_bench.scales import lr_size, parse_scales
from rescale_bench.specs import Spec, parse_spec

if TYPE_CHECKING:
    import torch

SIZES = ((45, 62), (97, 131), (321, 481))
SCALES = parse_scales("1.1,1.9,2,2.5,3,3.7,4")
SEED = 7
TILE_TOLERANCE = 1e-5


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
        self.chosen: Chosen = registry.choose_method(parse_spec(spec, "verify"))
        self.method = self.chosen.record

    def build(self, scale: Decimal) -> Any:
        """Build one half's instance for a scale."""
        files = choose_weights(self.chosen, scale, self.registry).files
        return self.method.build(load_states(files, self.registry, self.method.derived), "cpu", self.chosen.options)

    def trip(self, hr: torch.Tensor, scale: Decimal, halves: Halves | None = None) -> str:
        """Run one round trip and return a hash over LR file and restored image."""
        protocol = self.registry.protocols["rgb8-whole"]
        if self.method.lr_channels == 1:
            protocol = with_switches(protocol, Spec(protocol.name))
        name, _, option = (self.method.codec or "png").partition(":")
        codec = self.registry.choose_codec(Spec(name, (("", option),) if option else ()))
        halves = halves or Halves(self.method, self.build(scale), self.build(scale))
        reference = reference_lr(hr, protocol, scale)
        sample = round_trip(halves, hr, scale, protocol, Loop(codec.record, codec.options), SEED, reference)
        digest = hashlib.sha256(sample.file or sample.lr.numpy().tobytes())
        digest.update(sample.sr.contiguous().numpy().tobytes())
        return digest.hexdigest()


def test_image(size: tuple[int, int]) -> torch.Tensor:
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
) -> Iterator[Finding]:
    """Check one method, finding by finding.

    spec: as on the command line (`irn:weights=random`). separate: also repeat in another process.
    Raises UsageError and UnavailableError where the method cannot be had at all.
    """
    subject = Subject(spec, registry)
    served = native_scales(subject, scales)
    hashes: dict[tuple[tuple[int, int], Decimal], str] = {}
    for size in sizes:
        for scale in served:
            yield _caught(f"round trip {size[0]}×{size[1]} at ×{scale}", lambda s=size, f=scale: _sizes(subject, s, f, hashes))
    if not hashes:
        return
    yield _caught("same result twice, one instance", lambda: _twice(subject, hashes))
    if separate:
        yield _caught("same result in another process and order (the seal)", lambda: _elsewhere(subject, hashes))
    yield _caught("tiles equal the whole", lambda: _tiles(subject, served))
    yield _caught("clear error beyond the native scales", lambda: _beyond(subject, sizes[0]))


def _caught(check: str, call: Callable[[], str | None]) -> Finding:
    try:
        detail = call()
    except RescaleBenchError as error:
        return Finding(check, "failed", str(error))
    except Exception as error:
        return Finding(check, "failed", f"{type(error).__name__}: {error}")
    return Finding(check, "n/a" if detail is None else "ok", detail or "declared not to hold (margin None)")


def _sizes(subject: Subject, size: tuple[int, int], scale: Decimal, hashes: dict[Any, str]) -> str:
    hashes[size, scale] = subject.trip(test_image(size), scale)
    low = "its own" if subject.method.ceiling else "×".join(map(str, lr_size(size, scale)))
    return f"LR {low}, 8 bit, finite, HR {size[0]}×{size[1]} back"


def _twice(subject: Subject, hashes: dict[Any, str]) -> str:
    (size, scale), first = next(iter(hashes.items()))
    halves = Halves(subject.method, subject.build(scale), subject.build(scale))
    for attempt in (1, 2):
        if subject.trip(test_image(size), scale, halves) != first:
            raise MethodError(f"{subject.spec}: result {attempt} at ×{scale} differs from the first one")
    return "bit-identical"


def _elsewhere(subject: Subject, hashes: dict[Any, str]) -> str:
    """Run the cells in reverse order in a fresh interpreter; a half that remembers anything shows here."""
    asked = [f"{size[0]}x{size[1]}@{scale}" for size, scale in reversed(hashes)]
    import torch

    code = (
        "import sys, torch; from rescale_bench.conformance import replay; "
        f"torch.set_num_threads({torch.get_num_threads()}); "
        "replay(sys.argv[1], sys.argv[2].split(';'), [f for f in sys.argv[3].split(';') if f])"
    )
    command = [sys.executable, "-c", code, subject.spec, ";".join(asked), ";".join(subject.registry.files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MethodError(f"{subject.spec}: the other process failed: {done.stderr.strip().splitlines()[-1]}")
    if done.stdout.split() != list(reversed(hashes.values())):
        raise MethodError(f"{subject.spec}: another process or order gives another result")
    return f"{len(asked)} cells bit-identical"


def replay(spec: str, asked: Sequence[str], files: Sequence[str]) -> None:
    """Print the hashes of cells such as "45x62@2" (run by another process)."""
    from rescale_bench.plugin_manager import load_registry

    subject = Subject(spec, load_registry(files))
    for text in asked:
        size, _, scale = text.partition("@")
        height, _, width = size.partition("x")
        print(subject.trip(test_image((int(height), int(width))), Decimal(scale)))


def _tiles(subject: Subject, served: Sequence[Decimal]) -> str | None:
    """Compare a tile run with its declared margin against the same part of the whole, for both halves."""
    import torch

    method = subject.method
    whole_scales = [scale for scale in served if scale == scale.to_integral_value()]
    if method.margin is None or not whole_scales:
        return None
    scale = whole_scales[0]
    factor, margin, core = int(scale), method.margin, 16
    side = (2 * margin + core) + 32 - (2 * margin + core) % 16
    hr = prepare_hr(test_image((side * factor, side * factor)).permute(1, 2, 0).numpy(), False,
                    subject.registry.protocols["rgb8"], scale)  # fmt: skip
    image = hr[None].to(torch.float32) / 255
    rescaler = subject.build(scale)
    start, end = margin + 8 - margin % 8, margin + 8 - margin % 8 + core
    low, high = start - margin - (start - margin) % 8, min(side, end + margin + (-(end + margin)) % 8)
    whole = rescaler.downscale(image, float(scale))
    part = image[..., low * factor : high * factor, low * factor : high * factor]
    inner = slice(start - low, end - low)
    down = (whole[..., start:end, start:end] - rescaler.downscale(part, float(scale))[..., inner, inner]).abs().max()
    lr = whole.clamp(0, 1)
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


def _beyond(subject: Subject, size: tuple[int, int]) -> str:
    """Ask for a scale that is not served, of the harness and of the method itself."""
    scale = next(s for s in (Decimal("4.5"), Decimal("1.25"), Decimal("63.9"), Decimal(1)) if s not in subject.method.scales)
    near = native_scales(subject)[0]
    halves = Halves(subject.method, subject.build(near), subject.build(near))
    try:
        subject.trip(test_image(size), scale, halves)
    except NotNativeError as error:
        return str(error)
    raise MethodError(f"{subject.spec} took scale {scale}, which it does not declare")

"""The seal: nothing but the LR file, the scale and the HR size reaches the upscaler."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.records import Protocol, States
from rescale_bench.api.registry import Chosen, Registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import MethodError
from rescale_bench.images import levels
from rescale_bench.roundtrip.cell import Loop, reference_lr, round_trip, upscale_file
from rescale_bench.roundtrip.halves import Halves
from rescale_bench.weights.choice import choose_weights, load_states

if TYPE_CHECKING:
    import torch

SEED = 7


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
        up = self.build(scale)
        sr = upscale_file(Halves(self.method, up, up), self.loop, file, scale, size, SEED)
        return _hash(levels.to_levels(sr, self.protocol.sr_rounding))


@dataclass(frozen=True)
class Trip:
    """What a round trip left: the LR file (None for a ceiling) and a hash of the restored image."""

    file: bytes | None
    restored: str


def _hash(image: torch.Tensor) -> str:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()


Trips = dict[tuple[tuple[int, int], Decimal], Trip]


def restored_elsewhere(subject: Subject, trips: Trips) -> str | None:
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
            "from rescale_bench.roundtrip.seal import replay; replay(*sys.argv[1:])"
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

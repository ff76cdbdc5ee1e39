"""The records of metrics: numbers about one round trip, and numbers about a whole set of restored images.

Nothing here imports torch at run time: a metric can be listed without it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rescale_bench.errors import PluginError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from rescale_bench.api.options import Option, Value
    from rescale_bench.api.records import Protocol


@dataclass(frozen=True)
class Costs:
    """What one round trip cost: seconds, peak megabytes (10^6 bytes), counts; None where unknown."""

    seconds_down: float | None = None
    seconds_up: float | None = None
    peak_mb_down: float | None = None
    peak_mb_up: float | None = None
    parameters: int | None = None
    macs_down: int | None = None
    macs_up: int | None = None


@dataclass(frozen=True)
class Sample:
    """One finished round trip, as the metrics see it."""

    hr: torch.Tensor
    """uint8 (3, H, W), or (1, H, W) under a protocol whose plane is "y"."""

    sr: torch.Tensor
    """The restored image: as hr; float32 in [0, 255] where the protocol does not round."""

    lr: torch.Tensor
    """(3, h, w) or (1, h, w): uint8, what the upscaler saw; float32 in [0, 255] where the protocol keeps floats.
    Empty, (3, 0, 0), where images made elsewhere came without one: metrics of the LR are not measured then."""

    lr_reference: torch.Tensor
    """The bicubic LR, of the same type and size as lr (3 channels also where lr has 1)."""

    lr_sent: torch.Tensor | None
    """uint8 LR before the codec (equals lr for lossless codecs), None where the protocol sends floats."""

    file: bytes | None
    """The encoded LR, None where the protocol sends floats."""

    scale: Decimal
    protocol: Protocol
    costs: Costs

    memo: dict[str, Any] = field(default_factory=dict)
    """Intermediate results of this sample that several metrics share (planes, moments)."""

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute something shared by several metrics once."""
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]

    def to(self, device: str | torch.device) -> Sample:
        """Return the sample with its images on a device, and nothing computed yet: a memo's tensors live elsewhere.

        For metrics with `Metric.on_device`; the others read files or compute with NumPy, on the CPU.
        """
        sent = self.lr_sent
        return replace(
            self,
            hr=self.hr.to(device),
            sr=self.sr.to(device),
            lr=self.lr.to(device),
            lr_reference=self.lr_reference.to(device),
            lr_sent=None if sent is None else sent.to(device),
            memo={},
        )


@dataclass(frozen=True)
class Tolerance:
    """An allowed worsening: absolute in the metric's unit, or as a part of the value that it is compared with."""

    amount: float
    relative: bool = False

    @classmethod
    def parse(cls, text: str) -> Tolerance:
        """Read "0.01" or "0.1%". Raises UsageError for anything but a finite number of at least 0."""
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            raise UsageError(f"'{text}' is not a number") from None
        if not math.isfinite(value) or value < 0:
            raise UsageError(f"'{text}' is not a finite number of at least 0")
        return cls(value / 100, relative=True) if text.endswith("%") else cls(value)

    def allowed(self, baseline: float) -> float:
        """Compute the allowed worsening for one baseline value; infinite values allow none."""
        if not self.relative:
            return self.amount
        return self.amount * abs(baseline) if math.isfinite(baseline) else 0.0

    def __str__(self) -> str:
        """Print as "0.01" or "0.1%"."""
        return f"{self.amount * 100:g}%" if self.relative else f"{self.amount:g}"


@dataclass(frozen=True)
class MetricFile:
    """A file that a metric needs and that does not ship: `rescale-bench prepare --metrics NAME` fetches it."""

    path: str
    """Where it lies, relative to torch's home: "hub/checkpoints/alexnet-owt-7be5be79.pth"."""

    url: str
    """Its public home."""

    sha256: str
    """Of the file, or its first digits where the publisher states no more (torch.hub's file names do).

    "" where none is known: such a file is never fetched, its user brings it.
    """

    same: Callable[[Path], bool] | None = None
    """(path) → whether another file holds the same weights, for those that come in several files.

    Raises WeightsError for what cannot be read.
    """

    @property
    def location(self) -> Path:
        """Say where the file has to lie."""
        return torch_home() / self.path


def torch_home() -> Path:
    """Find torch's home as torch.hub does: TORCH_HOME, else torch/ in XDG_CACHE_HOME or ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser()


MetricGroup = Literal["quality", "perceptual", "bitrate", "cost"]


@dataclass(frozen=True, kw_only=True)
class AnyMetric:
    """What every metric says of itself."""

    name: str
    """Carries the convention: `psnr_y`, `piqe_lr`."""

    summary: str
    """One line for `list`."""

    direction: Literal["up", "down", "none"]
    """Which values are better: higher, lower, or neither."""

    version: str
    """"implementation/number", raised when a number moves."""

    title: str = ""
    """The name on axes of plots: "PSNR on Y"; where empty, the name."""

    unit: str = ""
    """"dB", "bit/px", …"""

    decimals: int = 3
    """Digits after the point in tables."""

    order: int = 500
    """Place among the columns of a table, the smallest first; equal ones stand by name. Costs have 900."""

    group: MetricGroup = "quality"
    """What kind of number it is."""

    tolerance: str = "0.1%"
    """How much worse `check` lets it become: in the metric's unit ("0.01"), or as a part of the value ("0.1%").

    About what another processor or library version moves.
    """

    files: tuple[MetricFile, ...] = ()
    """The files it needs; a run does not start before they are there."""

    requires: Callable[[], list[str]] = list
    """() → what else is missing (packages), each with the command that helps; empty when usable."""

    def __post_init__(self) -> None:
        """Refuse a tolerance that cannot be read. Raises PluginError."""
        try:
            Tolerance.parse(self.tolerance)
        except UsageError as error:
            raise PluginError(f"metric '{self.name}': tolerance {error}; write 0.01 or 0.1%") from None

    def problems(self) -> list[str]:
        """List what is missing before it can be measured, each with the command that helps; empty when usable."""
        absent = [file for file in self.files if not file.location.is_file()]
        lines = [f"metric {self.name}: {file.location} is missing; {self._remedy(file)}" for file in absent]
        return self.requires() + lines

    def _remedy(self, file: MetricFile) -> str:
        return f"rescale-bench prepare --metrics {self.name}" if file.sha256 else f"put {file.url} there by hand"


@dataclass(frozen=True, kw_only=True)
class Metric(AnyMetric):
    """A number about one round trip."""

    judges: Literal["hr", "lr", "file", "cost"]
    """What it is about: the restored HR, the LR, the LR's file, or the cost."""

    measure: Callable[[Sample, Mapping[str, Value]], float]
    """(sample, options) → value. Raises UndefinedValueError where there is none."""

    options: tuple[Option, ...] = ()
    """Options that a user may give (`bpp_jpeg:quality=90`)."""

    default: bool = False
    """True when a run measures it where nobody names metrics: it is quick and needs no extra package or file."""

    repeatable: bool = True
    """False for clocks and memory, whose numbers never come twice."""

    needs: frozenset[str] = frozenset()
    """"macs" (they are counted), "quiet" (nothing may run beside the halves)."""

    pool: Literal["mean", "hr-pixels", "lr-pixels", "sum"] = "mean"
    """How the values of a data set's images become one: their mean; the mean and, beside it, a value weighted by those
    pixels; or their sum."""

    on_device: bool = False
    """True when measure takes tensors of any device; the others get them on the CPU."""


@dataclass(frozen=True)
class Features:
    """What a set metric looks at: a vector computed from each picture. Metrics that share one record share the work."""

    about: str
    """In words, for footnotes: "2048 Inception-v3 features (clean 299×299)"."""

    compute: Callable[[np.ndarray], np.ndarray]
    """uint8 (H, W, 3) → (d,)."""


@dataclass(frozen=True, kw_only=True)
class SetMetric(AnyMetric):
    """A number about a whole set of restored images: how far it is from the set of their HR images.

    It is measured on stored pictures: by `run --keep` at its end, and by `distribution` on a kept run.
    """

    features: Features
    """What is compared."""

    distance: Callable[[np.ndarray, np.ndarray], float]
    """(HR features, features of the restored images), both (n, d), row i of one image → value.

    Raises UndefinedValueError where there is none.
    """

    fewest: int = 2
    """Images below which there is no value."""

    validity: Callable[[int], str] = lambda images: ""
    """Number of images → what the value is worth, one sentence or two for a footnote; "" for nothing to say."""

    def note(self, images: int) -> str:
        """Say for a footnote what a value over so many images is worth and how it was computed."""
        how = f"{self.name}: of {self.features.about}, stored 8-bit pictures against the HR images of the same cells."
        return " ".join(filter(None, (self.validity(images), how)))

    options: ClassVar[tuple[Option, ...]] = ()
    repeatable: ClassVar[bool] = True
    pool: ClassVar[str] = "set"


ABOUT = ("direction", "unit", "decimals", "pool", "repeatable", "title", "order", "group", "tolerance")
"""What a run keeps of each metric, in run.json and in its rows: it can be read where the metric's plugin is absent."""


def about(metric: Metric | SetMetric, label: str) -> dict[str, Any]:
    """Lay out what a run keeps of a metric. label: its name with the options that were given."""
    given = label.partition(":")[2]
    title = f"{metric.title} ({given})" if metric.title and given else metric.title
    return {name: getattr(metric, name) for name in ABOUT} | {"title": title or label}

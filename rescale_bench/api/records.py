"""The records that plugins yield, and the protocols of what they build.

Nothing here imports torch at run time: a record can be listed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from typing import Protocol as Interface

from rescale_bench.api.scales import NativeScales
from rescale_bench.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

Value = str | int | float | bool
"""What an option can hold."""

TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Option:
    """One option of a method, codec or metric.

    name: as written on the command line. default: also fixes the type.
    summary: one line for `info`. choices: the allowed values, or empty for any of the type.
    low, high: inclusive limits of a number.
    """

    name: str
    default: Value
    summary: str
    choices: tuple[Value, ...] = ()
    low: float | None = None
    high: float | None = None

    def parse(self, text: str, where: str) -> Value:
        """Type a text. Raises UsageError that begins with where."""
        kind = type(self.default)
        try:
            value: Value = _boolean(text) if kind is bool else kind(text)
        except ValueError:
            raise UsageError(f"{where}: {self.name}={text} is not of type {kind.__name__}") from None
        if self.choices and value not in self.choices:
            raise UsageError(f"{where}: {self.name}={text}; choose from {', '.join(map(str, self.choices))}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            below = self.low is not None and not value >= self.low
            if below or (self.high is not None and not value <= self.high):
                raise UsageError(f"{where}: {self.name}={text} is outside {self.low} to {self.high}")
        return value


def _boolean(text: str) -> bool:
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise ValueError(text)


# --- methods -----------------------------------------------------------------


class Rescaler(Interface):
    """A downscaler and an upscaler, built for one device.

    Tensors are (1, C, H, W) float32 in [0, 1], C = 3 (1 for the LR of a method with lr_channels = 1);
    float64 results are taken too, for methods whose exact halves must round as MATLAB's do.
    Where Method.batches is set the first side may be N, for N images.
    `compile_networks() -> None` is optional: it puts torch.compile around what gains from it (see compiling.py).
    """

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR of size ceil(H/scale) × ceil(W/scale); the harness clamps and rounds it to 8 bit."""

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of exactly the given (height, width) from 8-bit LR pixels in [0, 1]."""


@dataclass(frozen=True)
class State:
    """The tensors of one weights file and its metadata (both by name)."""

    tensors: Mapping[str, torch.Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WeightsFile:
    """One weights file that a method knows of.

    tag: `published`, `small`, … part: which network of the method it holds ("x4", "kgn-x2", "any").
    file: the published file's name, or the shipped one's. sha256: of the file where known, else "".
    source: where to get it, in words and with a URL. training: how it was trained.
    """

    tag: str
    part: str
    file: str
    source: str
    sha256: str = ""
    training: str = ""


def no_parts(scale: Decimal) -> tuple[str, ...]:
    """Say that a method has no weights."""
    del scale
    return ()


Half = Literal["down", "up"]
States = Mapping[str, State]
Build = Callable[[States, str, Mapping[str, Value]], Rescaler]
BuildMargin = Callable[[States, Mapping[str, Value]], int | None]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A rescaling method: what it is called, what it serves, how to build it.

    name: what people cite (`irn`, `car-edsr`). summary: one line. citation: paper, venue, year, URL.
    scales: served natively. version: of the plugin's code; raise it when a number moves.
    build: (states by part, device, options) → Rescaler; the only place that imports torch.
    halves: "up" alone for a super-resolution network that must be paired (`bicubic+edsr`).
    options: declared options. parts: the weights parts that a scale needs.
    weights: known files, in the order in which their tags are looked up.
    shipped: folder with `<tag>/<part>.safetensors` inside the plugin, or None.
    initial: (part, seed) → a freshly initialised state in the published layout; also serves the tag `random`.
    ignored: patterns (fnmatch) of published keys that are not part of the network.
    parameters: published-layout parameter counts by part. lr_channels: 1 where the LR is a grey image.
    codec: the codec in the loop when the user names none ("" means png).
    margin: LR pixels around a tile beyond which neither half sees anything, None where tiles cannot equal the whole.
    build_margin: (states, options) → the same for one build, in place of margin and draws where weights or options
    decide them; None where that build draws.
    siblings: which other method stands in at a scale that this one lacks ({"3": "irn-ld"}), for the wrappers.
    derived: True when made from other methods by a name rule; its parts are then written "method/part".
    indirect: True for a wrapper that serves scales with models of others; tables mark its rows as not native.
    draws: True when the upscaler draws random numbers (from torch's generator, which the harness seeds).
    batches: True when both halves take N images of one size, give each what it would get alone, within 1e-6, and gain.
    compiles: True when `run --compile` may put torch.compile around it (see Rescaler).
    ceiling: True for an upper bound that is no rescaler: it passes a larger float image, so LR scores are undefined.
    training: dotted path of the module with `recipes()` (rescale_bench.training.recipe), imported by `train` alone.
    """

    name: str
    summary: str
    citation: str
    scales: NativeScales
    build: Build
    version: str = "1"
    halves: frozenset[Half] = frozenset({"down", "up"})
    options: tuple[Option, ...] = ()
    parts: Callable[[Decimal], tuple[str, ...]] = no_parts
    weights: tuple[WeightsFile, ...] = ()
    shipped: Path | None = None
    initial: Callable[[str, int], State] | None = None
    ignored: tuple[str, ...] = ()
    parameters: Mapping[str, int] = field(default_factory=dict)
    lr_channels: int = 3
    codec: str = ""
    margin: int | None = None
    build_margin: BuildMargin | None = None
    siblings: Mapping[str, str] = field(default_factory=dict)
    derived: bool = False
    indirect: bool = False
    draws: bool = False
    batches: bool = False
    compiles: bool = False
    ceiling: bool = False
    training: str = ""


Find = Callable[[str], Method]


def qualified(method: Method, part: str) -> str:
    """Write a weights part with its owner, "edsr/x2"; parts of derived methods have theirs already."""
    return part if "/" in part else f"{method.name}/{part}"


def states_of(method: Method, states: States) -> States:
    """Pick the states of one method out of those of a derived one, under the names it knows them by."""
    if method.derived:
        return states
    prefix = f"{method.name}/"
    return {part.removeprefix(prefix): state for part, state in states.items() if part.startswith(prefix)}


@dataclass(frozen=True)
class MethodRule:
    """A rule that makes methods out of others by their name (`irn-type3`, `bicubic+edsr`).

    form: the pattern for `list` ("NAME-type3", "DOWN+UP"). summary: one line.
    derive: (name, find) → the method, or None where the rule does not apply to the name;
    find raises UnknownNameError. priority: rules with a higher one are asked first.
    """

    form: str
    summary: str
    derive: Callable[[str, Find], Method | None]
    priority: int = 0


# --- datasets ----------------------------------------------------------------


@dataclass(frozen=True)
class ImageFile:
    """One image of a data set: a short name unique within it, and the file."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A named list of images.

    name, summary, citation, licence: for people. count: how many images, None where open.
    images: () → the files, in the order of their names; raises UnavailableError saying how to get them.
    prepare: (report line by line) → fetch into the cache; None where there is nothing to fetch.
    """

    name: str
    summary: str
    citation: str
    licence: str
    images: Callable[[], Sequence[ImageFile]]
    count: int | None = None
    prepare: Callable[[Callable[[str], None]], None] | None = None


# --- codecs ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A file format at given settings.

    encode: (uint8 H×W×C, C = 1 or 3, options) → file bytes. decode: bytes → uint8 H×W×C.
    lossless: decoding must give the input back; options: the first takes a bare value (jpeg:90).
    extension: of the file, with its dot. requires: () → problems, empty when usable.
    """

    name: str
    summary: str
    lossless: bool
    extension: str
    encode: Callable[[np.ndarray, Mapping[str, Value]], bytes]
    decode: Callable[[bytes], np.ndarray]
    options: tuple[Option, ...] = ()
    requires: Callable[[], list[str]] = list
    version: str = "1"


# --- protocols ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a round trip is measured; the name stands in every row.

    version: raised when a number moves. plane: "rgb", or "y" when methods work on the Y plane alone.
    mod_crop: HR cropped to multiples of the scale where it is an integer ("scale"), of a number ("8"), or "none".
    reference: resampler of the reference LR. lr_rounding: "round" (through a real file) or "none" (float, no file).
    sr_rounding: "round", "truncate" or "none" (clamped float).
    luma: "bt601" (65.481, 128.553, 24.966)·RGB/255 + 16, "bt601-rounded" the same rounded to 8 bit,
    "car" (65.738, 129.057, 25.064)·RGB/255 + 16, "full" (0.299, 0.587, 0.114)·RGB.
    border: cut before scoring HR: "scale" is ceil(s), or a number. ssim_edges: "valid" or "symmetric".
    lr_border: the same for LR scores. lr_scores: "8bit" or "float" (both LR unrounded).
    data_range: 255.
    """

    name: str
    summary: str
    source: str
    version: int = 1
    plane: Literal["rgb", "y"] = "rgb"
    grey: str = "three equal channels"
    mod_crop: str = "scale"
    reference: str = "MATLAB bicubic, antialiased (a = -0.5)"
    lr_rounding: Literal["round", "none"] = "round"
    sr_rounding: Literal["round", "truncate", "none"] = "round"
    luma: Literal["bt601", "bt601-rounded", "car", "full"] = "bt601"
    border: str = "scale"
    ssim_edges: Literal["valid", "symmetric"] = "valid"
    lr_border: str = "0"
    lr_scores: Literal["8bit", "float"] = "8bit"
    data_range: int = 255


# --- metrics -----------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """What one round trip cost: seconds, peak megabytes (10^6 bytes, None where unknown), counts."""

    seconds_down: float
    seconds_up: float
    peak_mb_down: float | None = None
    peak_mb_up: float | None = None
    parameters: int | None = None
    macs_down: int | None = None
    macs_up: int | None = None


@dataclass(frozen=True)
class Sample:
    """One finished round trip, as the metrics see it.

    hr: uint8 (3, H, W), or (1, H, W) under a protocol whose plane is "y".
    sr: as hr; float32 in [0, 255] where the protocol does not round.
    lr: (3, h, w) or (1, h, w): uint8, what the upscaler saw; float32 in [0, 255] where the protocol keeps floats.
    lr_reference: the bicubic LR, same type and size as lr (3 channels also where lr has 1).
    lr_sent: uint8 LR before the codec (equals lr for lossless codecs), None where the protocol sends floats.
    file: the encoded LR, None where the protocol sends floats.
    scale, protocol, costs: of the cell. memo: shared intermediate results (planes, moments) of this sample.
    """

    hr: torch.Tensor
    sr: torch.Tensor
    lr: torch.Tensor
    lr_reference: torch.Tensor
    lr_sent: torch.Tensor | None
    file: bytes | None
    scale: Decimal
    protocol: Protocol
    costs: Costs
    memo: dict[str, Any] = field(default_factory=dict)

    def once(self, key: str, compute: Callable[[], Any]) -> Any:
        """Compute something shared by several metrics once."""
        if key not in self.memo:
            self.memo[key] = compute()
        return self.memo[key]


Judges = Literal["hr", "lr", "file", "cost", "set"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number about one round trip.

    name: carries the convention (`psnr_y`, `piqe_lr`). direction: "up" is better, "down", or "none".
    unit: "dB", "bit/px", "", … judges: the restored HR, the LR, the LR's file, the cost, or the whole set of restored
    images (measured by `distribution` on kept outputs, never by a run).
    version: "implementation/number", raised when a number moves. measure: (sample, options) → value;
    raises UndefinedValueError. decimals: printed by default. repeatable: False for clocks and memory.
    requires: () → problems (missing packages or files) with the command that helps, empty when usable.
    needs: "macs" (they are counted), "quiet" (nothing may run beside the halves). pool: "mean", or "hr-pixels" /
    "lr-pixels" when a pooled value weighted by those pixels is reported beside the mean.
    on_device: True when measure takes tensors of any device; the others get them on the CPU.
    """

    name: str
    summary: str
    direction: Literal["up", "down", "none"]
    judges: Judges
    version: str
    measure: Callable[[Sample, Mapping[str, Value]], float]
    unit: str = ""
    decimals: int = 3
    options: tuple[Option, ...] = ()
    repeatable: bool = True
    requires: Callable[[], list[str]] = list
    needs: frozenset[str] = frozenset()
    pool: Literal["mean", "hr-pixels", "lr-pixels"] = "mean"
    minimum: int = 1
    on_device: bool = False

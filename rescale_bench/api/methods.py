"""The record of a method, its weights, and what it builds.

Nothing here imports torch at run time: a method can be listed without it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from rescale_bench.api.options import Option, Value
from rescale_bench.api.scales import NativeScales

if TYPE_CHECKING:
    import torch


class Rescaler(Protocol):
    """A downscaler and an upscaler, built for one device.

    Tensors are (1, C, H, W) float32 in [0, 1], C = 3 (1 for the LR of a method with lr_channels = 1);
    float64 results are taken too, for methods whose exact halves must round as MATLAB's do.
    Where Traits.batches is set the first side may be N, for N images.
    `compile_networks() -> None` is optional: it puts torch.compile around what gains from it (see networks/compiling).

    Optional too is what `plot` shows of how a method works:
    `resampling_kernels(hr, scale) -> (weights, y, x)`: the taps of every LR pixel of one image, all (taps, h, w); y and
    x are their places in HR pixels from the middle of the LR pixel;
    `routing_weights(scale) -> {place: shares}`: of the experts that a scale mixes, (experts,) at each place;
    `with_latent(factor) -> Rescaler`: the same with its latent drawn and multiplied by a factor, 0 for none.
    """

    @property
    def parameter_count(self) -> int | None:
        """Return how many parameters both halves hold, each network once; None where unknown. An attribute will do."""

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Return the LR of size ceil(H/scale) × ceil(W/scale); the harness clamps and rounds it to 8 bit."""

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Return the image of exactly the given (height, width) from 8-bit LR pixels in [0, 1]."""


def count_parameters(*rescalers: Rescaler) -> int | None:
    """Add up the parameter counts of Rescalers; None where one of them states no number."""
    counts = [getattr(rescaler, "parameter_count", None) for rescaler in rescalers]
    numbers = [count for count in counts if isinstance(count, (int, float)) and math.isfinite(count)]
    return sum(map(int, numbers)) if len(numbers) == len(counts) else None


@dataclass(frozen=True)
class State:
    """The tensors of one weights file."""

    tensors: Mapping[str, torch.Tensor]
    """The tensors by name, as in the published file."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the file says about itself: how it was trained, where it came from."""


@dataclass(frozen=True)
class WeightsFile:
    """One weights file that a method knows of."""

    tag: str
    """The name of its set of files: `published`, `base`, …"""

    part: str
    """Which network of the method it holds: "x4", "kgn-x2", "any"."""

    file: str
    """The published file's name, or the shipped one's."""

    source: str
    """Where to get it, in words and with a URL."""

    sha256: str = ""
    """Of the file; "" where unknown."""

    training: str = ""
    """How it was trained, in words."""

    licence: str = ""
    """Under which it was published ("Apache-2.0"); "" where its authors state none."""


def no_parts(scale: Decimal) -> tuple[str, ...]:
    """Say that a method has no weights."""
    del scale
    return ()


def scale_part(scale: Decimal) -> tuple[str, ...]:
    """Name the part of a method with one network for each scale: x2, x4."""
    return (f"x{scale}",)


Half = Literal["down", "up"]
States = Mapping[str, State]
Build = Callable[[States, str, Mapping[str, Value]], Rescaler]
BuildMargin = Callable[[States, Mapping[str, Value]], int | None]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is true of a method, yes or no."""

    draws: bool = False
    """The upscaler draws random numbers, from torch's generator alone: the harness seeds it for each cell."""

    batches: bool = False
    """Both halves take N images of one size, give each what it would get alone, within 1e-6, and gain from it."""

    compiles: bool = False
    """`run --compile` may put torch.compile around it (see Rescaler)."""

    ceiling: bool = False
    """It is an upper bound and no rescaler: it passes a larger float image, so LR scores are undefined."""

    derived: bool = False
    """A name rule made it from other methods; its weights parts are then written "method/part"."""

    indirect: bool = False
    """It serves scales with models of other scales, inside of a wrapper; tables mark its rows as not native."""

    external: bool = False
    """It computes outside of torch, where operations and memory cannot be counted: MACs and peaks are undefined."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A rescaling method: what it is called, what it serves, how to build it."""

    name: str
    """What people cite: `irn`, `car-edsr`."""

    summary: str
    """One line for lists."""

    citation: str
    """Paper, venue, year, URL."""

    scales: NativeScales
    """The scales that it serves by itself."""

    build: Build
    """(states by part, device, options) → a Rescaler. The only place that imports torch."""

    version: str = "1"
    """Of the plugin's code. Raise it when a number moves: results are kept under it."""

    halves: frozenset[Half] = frozenset({"down", "up"})
    """{"up"} for a super-resolution network, which must be paired: `bicubic+edsr`."""

    options: tuple[Option, ...] = ()
    """The options that `-m NAME:key=value` takes."""

    configure: Callable[[Mapping[str, Value]], Method] | None = None
    """(typed options) → the method that they make, where scales, halves or version follow from them; None: itself.
    Raises RescaleBenchError."""

    parts: Callable[[Decimal], tuple[str, ...]] = no_parts
    """scale → the weights parts that it needs."""

    weights: tuple[WeightsFile, ...] = ()
    """Known files, in the order in which their tags are looked up."""

    shipped: Path | None = None
    """Folder with `<tag>/<part>.safetensors` inside the plugin; None where it ships none."""

    initial: Callable[[str, int], State] | None = None
    """(part, seed) → a fresh state in the published layout; it also serves the tag `random`."""

    locate: Callable[[Decimal, str], Mapping[str, Path]] | None = None
    """(scale, what `weights=` or `file=` says) → its files by part, where they do not lie in the weights folders: a
    file of the user's in its own format, or one of an installed package. Raises RescaleBenchError."""

    describe: Callable[[Path], Mapping[str, str]] | None = None
    """One of its weights files → facts for `info`. Raises RescaleBenchError."""

    translate: Callable[[Mapping[str, torch.Tensor]], State] | None = None
    """Tensors of a file that another program wrote → the published layout, and metadata to keep; others as they are."""

    ignored: tuple[str, ...] = ()
    """Patterns (fnmatch) of published keys that are not part of the network."""

    parameters: Mapping[str, int] = field(default_factory=dict)
    """Parameter counts of the published layout, by part."""

    lr_channels: int = 3
    """1 where the LR is a grey image."""

    codec: str = ""
    """The codec in the loop where the user names none: "jpeg:90"; "" means png."""

    margin: int | None = None
    """LR pixels around a tile beyond which neither half sees anything; None where tiles cannot equal the whole."""

    build_margin: BuildMargin | None = None
    """(states, options) → the margin of one build, in place of `margin` and `draws` where weights or options decide
    them; None where that build draws."""

    siblings: Mapping[str, str] = field(default_factory=dict)
    """Which other method stands in at a scale that this one lacks, for the wrappers: {"3": "irn-ld"}."""

    traits: Traits = Traits()
    """What is true of it, yes or no."""

    training: str = ""
    """Dotted path of the module with `recipes()` (rescale_bench.training.recipe), imported by `train` alone."""


def _take_flags(kind: type[Method]) -> None:
    """Let plugins of version 0.1 write and read the traits as fields: Method(draws=True), method.draws.

    Both warn, and go in version 0.3.
    """
    names = {trait.name for trait in fields(Traits)}
    init = kind.__init__

    def __init__(self: Method, **values: Any) -> None:  # noqa: N807
        old = {name: values.pop(name) for name in names & values.keys()}
        if old:
            written = ", ".join(f"{name}={value}" for name, value in sorted(old.items()))
            warnings.warn(
                f"Method({written}) is now Method(traits=Traits({written}))", DeprecationWarning, stacklevel=2
            )
            values["traits"] = replace(values.get("traits", Traits()), **old)
        init(self, **values)

    def __getattr__(self: Method, name: str) -> Any:  # noqa: N807
        if name not in names:
            raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
        warnings.warn(f"Method.{name} is now Method.traits.{name}", DeprecationWarning, stacklevel=2)
        return getattr(self.traits, name)

    # Set from outside, so that type checkers see the fields of the record alone.
    for function in (__init__, __getattr__):
        setattr(kind, function.__name__, function)


_take_flags(Method)


def configured(method: Method, options: Mapping[str, Value]) -> Method:
    """Return the method that typed options make; options of other methods are left out."""
    if method.configure is None:
        return method
    return method.configure({option.name: options[option.name] for option in method.options})


Find = Callable[[str], Method]


def all_parts(method: Method) -> list[str]:
    """List every weights part that a method knows of: counted, published, or needed at a scale from 1 to 64."""
    tenths = (Decimal(count) / 10 for count in range(10, 641))
    scales = method.scales.values or [method.scales.high, *(scale for scale in tenths if scale in method.scales)]
    needed = [part for scale in sorted(scales) for part in method.parts(scale)]
    return list(dict.fromkeys([*method.parameters, *(file.part for file in method.weights), *needed]))


FAMILIES = ("rescalers", "super-resolution halves", "resamplers", "wrappers", "ceilings")
"""What lists group methods by, in their order; wrappers are made by name rules."""


def family(method: Method) -> str:
    """Say which of FAMILIES a registered method belongs to; resamplers are all that need no weights."""
    if method.traits.ceiling:
        return "ceilings"
    if "down" not in method.halves:
        return "super-resolution halves"
    learned = all_parts(method) or any(option.is_path for option in method.options)
    return "rescalers" if learned else "resamplers"


def qualified(method: Method, part: str) -> str:
    """Write a weights part with its owner, "edsr/x2"; parts of derived methods have theirs already."""
    return part if "/" in part else f"{method.name}/{part}"


def states_of(method: Method, states: States) -> States:
    """Pick the states of one method out of those of a derived one, under the names it knows them by."""
    if method.traits.derived:
        return states
    prefix = f"{method.name}/"
    return {part.removeprefix(prefix): state for part, state in states.items() if part.startswith(prefix)}


@dataclass(frozen=True)
class MethodRule:
    """A rule that makes methods out of others by their name (`irn-type3`, `bicubic+edsr`)."""

    form: str
    """The pattern for `list`: "NAME-type3", "DOWN+UP"."""

    summary: str
    """One line for lists."""

    derive: Callable[[str, Find], Method | None]
    """(name, find) → the method, or None where the rule does not apply to the name; find raises UnknownNameError."""

    priority: int = 0
    """Rules with a higher one are asked first."""

"""The records that plugins yield: data sets, codecs, damages, protocols, files of claims; others from their modules.

Nothing here imports torch at run time: a record can be listed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rescale_bench.api.methods import (
    Build,
    BuildMargin,
    Find,
    Half,
    Method,
    MethodRule,
    Rescaler,
    State,
    States,
    Traits,
    WeightsFile,
    all_parts,
    configured,
    count_parameters,
    no_parts,
    qualified,
    scale_part,
    states_of,
)
from rescale_bench.api.metrics import Costs, Features, Metric, MetricFile, Sample, SetMetric
from rescale_bench.api.options import Option, Value

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Build",
    "BuildMargin",
    "ClaimsFile",
    "Codec",
    "Costs",
    "Damage",
    "Dataset",
    "Features",
    "Find",
    "Half",
    "ImageFile",
    "Method",
    "MethodRule",
    "Metric",
    "MetricFile",
    "Option",
    "Passage",
    "Protocol",
    "Rescaler",
    "Sample",
    "SetMetric",
    "State",
    "States",
    "Traits",
    "Value",
    "WeightsFile",
    "all_parts",
    "configured",
    "count_parameters",
    "no_parts",
    "qualified",
    "scale_part",
    "states_of",
]

# --- datasets ----------------------------------------------------------------


@dataclass(frozen=True)
class ImageFile:
    """One image of a data set."""

    name: str
    """Short, and unique within the data set."""

    path: Path
    """The file."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A named list of images."""

    name: str
    """What `--datasets` takes: `set5`, `div2k-valid`."""

    summary: str
    """One line for lists."""

    citation: str
    """Paper, venue, year, URL."""

    licence: str
    """Under which the images may be used."""

    images: Callable[[], Sequence[ImageFile]]
    """() → the files, in the order of their names; raises UnavailableError saying how to get them."""

    count: int | None = None
    """How many images it holds; None where that is open."""

    shareable: Callable[[str], bool] = lambda image: False
    """(name of an image) → whether its licence lets everybody publish it, and pictures that are made of it."""

    prepare: Callable[[Callable[[str], None]], None] | None = None
    """(report line by line) → fetch into the cache; None where there is nothing to fetch."""


# --- codecs ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Codec:
    """A file format at given settings."""

    name: str
    """What `--codecs` takes: `png`, `jpeg`."""

    summary: str
    """One line for lists."""

    lossless: bool
    """Decoding gives back what was encoded; the harness checks it."""

    lossy_option: str = "quality"
    """The option that makes a lossless codec lossy where it is above 0."""

    extension: str
    """Of the file, with its dot."""

    encode: Callable[[np.ndarray, Mapping[str, Value]], bytes]
    """(uint8 H×W×C with C = 1 or 3, options) → the file's bytes."""

    decode: Callable[[bytes], np.ndarray]
    """The file's bytes → uint8 H×W×C."""

    options: tuple[Option, ...] = ()
    """Its options; the first takes a bare value, as in `jpeg:90`."""

    requires: Callable[[], list[str]] = list
    """() → problems, each with what helps; empty when usable."""

    version: str = "1"
    """Raised when the bytes or the pixels change."""


# --- damages -----------------------------------------------------------------


@dataclass(frozen=True)
class Passage:
    """What a damage may use besides the pixels."""

    draws: np.random.RandomState
    """Random numbers, seeded by the cell: the same for all methods at one image, scale and damage."""

    again: Callable[[np.ndarray], np.ndarray]
    """(uint8 h×w×C) → the LR after one more round trip: enlarged, rounded as the protocol rounds, shrunk, coded."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What a platform does to an LR image between the halves, after its file was decoded."""

    name: str
    """What `--damage` takes: `noise`, `ycc`."""

    summary: str
    """One line for lists."""

    strike: Callable[[np.ndarray, Mapping[str, Value], Passage], np.ndarray]
    """(uint8 h×w×C with C = 1 or 3, options, passage) → uint8 of the same shape; the input stays as it is."""

    options: tuple[Option, ...] = ()
    """Its options; the first, if any, is its strength, a number: `noise:2`."""

    neutral: float = 0
    """The strength at which nothing happens; infinite where more is milder, as with a quality."""

    version: str = "1"
    """Raised when the pixels change."""


# --- protocols ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a round trip is measured; the name stands in every row."""

    name: str
    """What `--protocol` takes: `rgb8`."""

    summary: str
    """One line for lists."""

    source: str
    """Who measures so: papers and code."""

    version: int = 1
    """Raised when a number moves."""

    plane: Literal["rgb", "y"] = "rgb"
    """"y" when methods work on the Y plane alone."""

    grey: str = "three equal channels"
    """How grey images are read."""

    mod_crop: str = "scale"
    """HR cropped to multiples of the scale where it is an integer ("scale"), of a number ("8"), or "none"."""

    reference: str = "MATLAB bicubic, antialiased (a = -0.5)"
    """The resampler of the reference LR."""

    lr_rounding: Literal["round", "none"] = "round"
    """"round": through a real 8-bit file; "none": the float LR, without a file."""

    sr_rounding: Literal["round", "truncate", "none"] = "round"
    """How the restored image becomes 8 bit; "none" keeps clamped floats."""

    luma: Literal["bt601", "bt601-rounded", "car", "full"] = "bt601"
    """"bt601": (65.481, 128.553, 24.966)·RGB/255 + 16; "bt601-rounded": the same rounded to 8 bit;
    "car": (65.738, 129.057, 25.064)·RGB/255 + 16; "full": (0.299, 0.587, 0.114)·RGB."""

    border: str = "scale"
    """Pixels cut on each side before HR is scored: "scale" is ceil(s), "scale+6" six more, or a number."""

    ssim_edges: Literal["valid", "symmetric"] = "valid"
    """SSIM's windows inside the image only, or padded symmetrically."""

    lr_border: str = "0"
    """As border, for LR scores."""

    lr_scores: Literal["8bit", "float"] = "8bit"
    """"float": both LR images unrounded."""

    data_range: int = 255
    """The peak value in PSNR and SSIM."""


# --- claims ------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ClaimsFile:
    """A file of claims that `rescale-bench claims` judges beside those of the papers."""

    name: str
    """Unique: the paper's or the plugin's."""

    file: Path
    """YAML of the form of `--claims` (docs/claims.md)."""

"""Graphs from files as the halves of a rescaler."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn import functional as F

from rescale_bench.api.records import Rescaler, Value
from rescale_bench.errors import MethodError, UnavailableError, WeightsError
from rescale_bench.networks.fixed_scale import FixedScaleRescaler
from rescale_bench.networks.luma import LumaRescaler

from . import ONNX

NUMBERS = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16}
"""Types of input that are served, as ONNX Runtime writes them."""


class Graph(Protocol):
    """A function of one image."""

    window: tuple[int | None, int | None]
    """The only (height, width) that it takes; None where it takes any."""

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Map (1, C, H, W) to (1, C, H', W')."""


class Script:
    """A TorchScript file."""

    window = (None, None)

    def __init__(self, path: Path, device: str) -> None:
        """Load the file. Raises WeightsError."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.load: torch.export is to follow it
                load: Callable[..., Any] = torch.jit.load  # torch left it without types
                self.module = load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"graph: {path} is no TorchScript file ({_first_line(error)}); weights alone go to zoo:file={path}"
            ) from None

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Run the module."""
        result: torch.Tensor = self.module(image)
        return result


class OnnxGraph:
    """An ONNX file, run by ONNX Runtime."""

    def __init__(self, path: Path, device: str) -> None:
        """Load the file. Raises WeightsError, and UnavailableError for a device that ONNX Runtime lacks."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.log_severity_level = 3  # errors alone
        provider = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise UnavailableError(f"graph: this onnxruntime has no {provider}; install onnxruntime-gpu or use the CPU")
        try:
            self.session = onnxruntime.InferenceSession(str(path), settings, providers=[provider])
        except Exception as error:  # its exceptions have no common class but this one
            raise WeightsError(f"graph: {path} is no graph that ONNX Runtime loads ({_first_line(error)})") from None
        given = self.session.get_inputs()
        if len(given) != 1 or len(given[0].shape) != 4 or given[0].type not in NUMBERS:
            shapes = ", ".join(f"{entry.name} {entry.type} {entry.shape}" for entry in given)
            raise WeightsError(f"graph: {path} takes {shapes}; one float input (1, C, H, W) is needed")
        self.input, self.type = given[0].name, NUMBERS[given[0].type]
        height, width = (side if isinstance(side, int) else None for side in given[0].shape[2:])
        self.window = (height, width)

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """Run the session on the CPU's copy of the image."""
        array = image.to("cpu", self.type).contiguous().numpy()
        return torch.from_numpy(self.session.run(None, {self.input: array})[0]).to(image.device, torch.float32)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


class GraphRescaler(FixedScaleRescaler):
    """Shrink and enlarge with graphs; those of a fixed size run on overlapping tiles."""

    parameter_count: int | None = None  # type: ignore[assignment]  # nobody counts them in a graph

    def __init__(self, graphs: Mapping[str, Graph], options: Mapping[str, Value]) -> None:
        """Take the graphs by half, and the options of the method."""
        scale, multiple = int(options["scale"]), int(options["multiple"])
        super().__init__(scale, scale * multiple)
        del self.parameter_count
        self.lr_multiple = multiple
        self.graphs, self.range, self.overlap = graphs, float(options["range"]), int(options["overlap"])
        self.backwards = options["channels"] == "bgr"

    def downscale_padded(self, hr: torch.Tensor) -> torch.Tensor:
        """Shrink with the graph `down`."""
        return self._run("down", hr)

    def upscale_padded(self, lr: torch.Tensor) -> torch.Tensor:
        """Enlarge with the graph `up`."""
        return self._run("up", lr)

    def _run(self, half: str, image: torch.Tensor) -> torch.Tensor:
        if half not in self.graphs:
            raise MethodError(f"graph: no file was given for {half}")
        graph = self.graphs[half]
        given = (image.flip(1) if self.backwards else image).to(torch.float32) * self.range
        step = self.scale if half == "down" else 1
        tall, wide = (
            [(0, 0, side)] if window is None else list(tiles(side, window, self.overlap * step, step))
            for side, window in zip(given.shape[-2:], graph.window, strict=True)
        )
        rows = []
        for tile_row in tall:
            row = [self._tile(half, given, tile_row, tile_column) for tile_column in wide]
            rows.append(torch.cat(row, dim=-1))
        result = torch.cat(rows, dim=-2) / self.range
        return result.flip(1) if self.backwards else result

    def _tile(
        self, half: str, image: torch.Tensor, tall: tuple[int, int, int], wide: tuple[int, int, int]
    ) -> torch.Tensor:
        """Run a graph on the windows that begin at tall[0], wide[0], and cut out what is kept of its result."""
        graph = self.graphs[half]
        sides = [window or side for window, side in zip(graph.window, image.shape[-2:], strict=True)]
        part = image[..., tall[0] : tall[0] + sides[0], wide[0] : wide[0] + sides[1]]
        missing = [side - length for side, length in zip(sides, part.shape[-2:], strict=True)]
        if any(missing):
            part = F.pad(part, (0, missing[1], 0, missing[0]), mode="replicate")
        result = graph(part)
        self._check(half, part, result)
        rows, columns = (slice(self._scaled(half, first), self._scaled(half, last)) for _, first, last in (tall, wide))
        return result[..., rows, columns]

    def _check(self, half: str, given: torch.Tensor, result: object) -> None:
        """Raise MethodError where a graph is of another scale or of other channels."""
        if not isinstance(result, torch.Tensor) or result.ndim != 4:
            raise MethodError(f"graph: {half} gave no image (1, C, H, W)")
        wanted = (*given.shape[:2], *(self._scaled(half, side) for side in given.shape[-2:]))
        if tuple(result.shape) == wanted:
            return
        large, small = (given, result) if half == "down" else (result, given)
        found, rest = divmod(large.shape[-1], max(small.shape[-1], 1))
        helps = f": say scale={found}" if not rest and found != self.scale and result.shape[1] == given.shape[1] else ""
        raise MethodError(f"graph: {half} turned {_shape(given)} into {_shape(result)}, not ×{self.scale}{helps}")

    def _scaled(self, half: str, side: int) -> int:
        return side // self.scale if half == "down" else side * self.scale


def _shape(image: torch.Tensor) -> str:
    return "×".join(map(str, image.shape[1:]))


def tiles(side: int, window: int, overlap: int, step: int) -> Iterator[tuple[int, int, int]]:
    """Cut a side into windows of one size; yields where each begins, and what is kept of it, counted from there.

    Windows begin at multiples of step; neighbours share at least 2·overlap pixels, and overlap pixels of each end are
    left out where there is a neighbour. Raises MethodError where a window is too small for that.
    """
    stride = window - 2 * overlap
    if window % step or (side > window and stride < 1):
        raise MethodError(f"graph: tiles of {window} pixels are too small for overlap={overlap // step} at this scale")
    done, first = 0, 0
    while done < side:
        last = first + window >= side
        begin = max(0, side - window) if last else first
        end = side if last else first + window - overlap
        yield begin, done - begin, end - begin
        done, first = end, first + stride


def build(device: str, options: Mapping[str, Value]) -> Rescaler:
    """Load the files and put the halves together. Raises WeightsError."""
    graphs: dict[str, Any] = {}
    for half in ("down", "up"):
        if options[half]:
            path = Path(str(options[half]))
            graphs[half] = (OnnxGraph if path.suffix == ONNX else Script)(path, device)
    rescaler = GraphRescaler(graphs, options)
    return LumaRescaler(rescaler) if options["channels"] == "y" else rescaler

"""Graphs as halves: files of ONNX (extra `onnx`) or TorchScript, `graph:down=d.onnx,up=u.onnx,scale=2`."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Half, Method, Option, Rescaler, States, Traits, Value
from rescale_bench.api.scales import NativeScales
from rescale_bench.errors import UnavailableError, UsageError
from rescale_bench.weights.stored import sha256

ONNX = ".onnx"
"""Ending of ONNX files; all others are read as TorchScript."""

HALVES: tuple[Half, ...] = ("down", "up")
OPTIONS = (
    Option("down", "", "the file that shrinks, ONNX or TorchScript", is_path=True),
    Option("up", "", "the file that enlarges", is_path=True),
    Option("scale", 2, "what the graph was made for", low=2, high=64),
    Option(
        "channels", "rgb", "what goes in and out; y: Y of BT.601 alone, chroma bicubic", choices=("rgb", "bgr", "y")
    ),
    Option("range", 1, "pixels are in [0, range]", choices=(1, 255)),
    Option("multiple", 1, "LR sides are padded to multiples of it", low=1, high=1024),
    Option("overlap", 16, "graphs of a fixed size: LR pixels that neighbouring tiles share at each side", low=0),
)


def _build(states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    del states
    from .rescaler import build

    return build(device, options)


def _configure(options: Mapping[str, Value]) -> Method:
    """Make the method of some files: its halves are those given, its version holds their hashes."""
    files = {half: Path(str(options[half])) for half in HALVES if options[half]}
    if not files:
        raise UsageError("graph needs a file: graph:down=FILE,up=FILE or bicubic+graph:up=FILE", "methods")
    for half, path in files.items():
        if not path.is_file():
            raise UsageError(f"graph: {half}={path}: there is no such file", "methods")
        if path.suffix == ONNX and importlib.util.find_spec("onnxruntime") is None:
            raise UnavailableError(f"graph: {path} needs onnxruntime; pip install 'rescale-bench[onnx]'")
    hashes = "\n".join(f"{half} {sha256(path)}" for half, path in files.items())
    return replace(
        GRAPH,
        configure=None,
        halves=frozenset(files),
        scales=NativeScales.of(int(options["scale"])),
        version=f"{GRAPH.version}-{hashlib.sha256(hashes.encode()).hexdigest()}",
    )


GRAPH = Method(
    name="graph",
    summary="networks from ONNX or TorchScript files: graph:down=d.onnx,up=u.onnx,scale=2",
    citation="the files' own",
    scales=NativeScales.between("1", "64"),
    build=_build,
    options=OPTIONS,
    configure=_configure,
    traits=Traits(external=True),
)


@hookimpl
def rescale_bench_methods() -> Iterable[Method]:
    """Yield the method; its options make it what it is."""
    yield GRAPH

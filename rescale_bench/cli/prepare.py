"""`prepare` and `weights`: get what cannot ship, before a run needs it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rescale_bench.api.records import all_parts
from rescale_bench.cli.common import add_plugin_flag, described, name_list, registry, say
from rescale_bench.cli.screen import show
from rescale_bench.errors import RescaleBenchError, UnknownNameError, UsageError
from rescale_bench.machine.printable import printable


def add(verbs: Any) -> None:
    """Add the verbs."""
    parser = verbs.add_parser("prepare", help="fetch data sets and metric files; explain where weights are")
    parser.add_argument("-d", "--datasets", metavar="NAMES", help="data sets to fetch into the cache")
    parser.add_argument("--metrics", metavar="NAMES", help="metrics whose files to fetch")
    parser.add_argument("--file", type=Path, metavar="FILE", help="a file that you have, for the metric of --metrics")
    parser.add_argument("--weights", metavar="METHODS", help="say where published weights are and how to bring them in")
    add_plugin_flag(parser)
    parser.set_defaults(call=call)
    weights = verbs.add_parser("weights", help="bring downloaded weights in, or list those here")
    actions = weights.add_subparsers(dest="action", metavar="ACTION", required=True)
    bring = actions.add_parser("import", help="import a published checkpoint: weights import irn x4 IRN_x4.pth")
    bring.add_argument("method")
    bring.add_argument("part", help="which network: see `info METHOD`")
    bring.add_argument("file", type=Path)
    bring.add_argument("--tag", default="published", help="(default: published)")
    add_plugin_flag(bring)
    bring.set_defaults(call=call_import)
    listed = actions.add_parser("list", help="list the weights files of all methods")
    add_plugin_flag(listed)
    listed.set_defaults(call=call_list)


def call(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Fetch or explain; one thing that cannot be had does not stop the next."""
    del given
    if not (known.datasets or known.metrics or known.weights):
        raise UsageError("prepare: say what: --datasets NAMES, --metrics NAMES or --weights METHODS")
    plugins = registry(known)
    if known.file:
        if len(name_list(known.metrics)) != 1:
            raise UsageError("name the one metric that it is for with --metrics", "file")
        _bring(known.file, known.metrics.strip(), plugins)
    steps = [
        *((_dataset, name) for name in name_list(known.datasets)),
        *((_metric, name) for name in name_list(known.metrics)),
        *((_explain, name) for name in name_list(known.weights)),
    ]
    failed = 0
    for step, name in steps:
        try:
            step(name, plugins)
        except UnknownNameError:
            raise
        except RescaleBenchError as error:
            say(f"rescale-bench: {described(error, known)}")
            failed += 1
    return 2 if failed else 0


def _dataset(name: str, plugins: Any) -> None:
    from rescale_bench.datasets import find_dataset

    dataset, _ = find_dataset(name, plugins.datasets)
    if dataset.prepare is not None:
        dataset.prepare(say)
    show(f"{dataset.name}: {len(dataset.images())} images ready")


def _metric(name: str, plugins: Any) -> None:
    from rescale_bench.api.specs import parse_spec
    from rescale_bench.metrics.needed import prepare_files

    metric = plugins.choose_metric(parse_spec(name, "metrics")).record
    prepare_files(metric.files, say)
    if problems := metric.problems():
        raise UsageError("; ".join(problems))
    show(f"{name}: ready")


def _bring(path: Path, name: str, plugins: Any) -> None:
    from rescale_bench.api.specs import parse_spec
    from rescale_bench.metrics.needed import bring_file

    bring_file(path, plugins.choose_metric(parse_spec(name, "metrics")).record, say)


def _explain(name: str, plugins: Any) -> None:
    """Say where the published files are; nothing is fetched, since their homes hand out no checksums."""
    method = plugins.method(name)
    if not method.weights:
        show(f"{name}: no weights were published")
    for file in method.weights:
        tag = "" if file.tag == "published" else f" --tag {file.tag}"
        show(f"{name} {file.part}: {file.file}\n    from {file.source}")
        show(f"    then: rescale-bench weights import {method.name} {file.part} {file.file}{tag}")


def call_import(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Check a checkpoint against the method's published layout and store it as safetensors."""
    del given
    from rescale_bench.weights import checkpoints
    from rescale_bench.weights import stored as weights

    plugins = registry(known)
    method = plugins.method(known.method)
    parts = all_parts(method)
    if method.traits.derived or not parts:
        raise UsageError(f"{method.name} has no weights of its own", "method")
    if method.initial is None:
        raise UsageError(f"{method.name} declares no `initial`, so nothing says which keys its network has", "method")
    if known.part not in parts:
        raise UnknownNameError(f"part of {method.name}", known.part, parts)
    target = weights.place(method.name, known.tag, known.part)
    origin = {"method": method.name, "part": known.part, "tag": known.tag}
    report = checkpoints.import_checkpoint(
        known.file, _layout(method, known.part), method.ignored, target, origin,
        others={part: partial(_layout, method, part) for part in parts if part != known.part},
        translate=method.translate,
    )  # fmt: skip
    show(printable(f"{known.file} → {target}"))
    show(f"{report.tensors} tensors, {report.parameters:,} parameters, sha256 {report.sha256}")
    for note in report.notes:
        show(printable(note))
    return 0


def _layout(method: Any, part: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in method.initial(part, 0).tensors.items()}


def call_list(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Print every weights file that a run could use."""
    del given
    from rescale_bench.weights import stored as weights

    plugins = registry(known)
    for method in plugins.methods.values():
        for entry in weights.available(method.name, method.shipped):
            state = entry.problem or f"{entry.parameters:,} parameters"
            show(printable(f"{method.name}  {entry.tag}  {entry.part}  {state}  {entry.path}"))
    return 0

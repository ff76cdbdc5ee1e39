"""`shrink` and `restore`: the two halves of a method on pictures of your own, one file at a time."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.api.scales import parse_scale
from rescale_bench.api.specs import method_label, parse_spec
from rescale_bench.cli.common import add_plugin_flag, described, registry, say
from rescale_bench.cli.screen import show
from rescale_bench.errors import RescaleBenchError, UnavailableError, UsageError
from rescale_bench.runner.progress import tracked

if TYPE_CHECKING:
    from rescale_bench.api.registry import Chosen, Registry
    from rescale_bench.runner.single import Single

RESTORED = ".png"


def add(verbs: Any) -> None:
    """Add the verbs."""
    parser = verbs.add_parser("shrink", help="shrink pictures into small files that `restore` enlarges again")
    parser.add_argument("methods", metavar="METHOD", help="as in run: irn, aidn, irn:weights=mine")
    parser.add_argument("files", nargs="+", metavar="FILE", help="pictures (PNG, JPEG, WebP, BMP, TIFF)")
    parser.add_argument("-s", "--scale", dest="scales", required=True, metavar="S", help="by how much: 2, 2.75")
    parser.add_argument("-o", "--output", required=True, metavar="FILE|FOLDER", help="a folder for several pictures")
    parser.add_argument("--codec", dest="codecs", metavar="CODEC", default="",
                        help="png, jpeg:90, webp:80 (default: the output's name says, or the method)")  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="seed of all random draws (default: 0)")
    _add_common(parser)
    parser.set_defaults(call=call_shrink)
    parser = verbs.add_parser("restore", help="enlarge small files that `shrink` wrote, or others")
    parser.add_argument("files", nargs="+", metavar="FILE", help="small files; what they say of themselves is used")
    parser.add_argument("-o", "--output", required=True, metavar="FILE|FOLDER", help="PNG; a folder for several files")
    parser.add_argument("-m", "--method", dest="methods", metavar="METHOD", default="", help="instead of the file's")
    parser.add_argument("-s", "--scale", dest="scales", metavar="S", default="", help="instead of the file's")
    parser.add_argument(
        "--size", metavar="WxH", help="of the restored picture (default: the file's, or scale × its size)"
    )
    parser.add_argument("--weights", metavar="TAG", default="", help="tag or path; also where the file asks for others")
    parser.add_argument(
        "--codec", dest="codecs", metavar="CODEC", default="", help="that reads the file: png, jpeg, jxl"
    )
    _add_common(parser)
    parser.set_defaults(call=call_restore)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or auto (default: cpu)")
    parser.add_argument("--threads", type=int, metavar="N", default=0, help="torch threads (default: cores)")
    parser.add_argument("--tile", metavar="N", default="auto",
                        help="auto: tiles where the memory is short; N: LR pixels; off (default: auto)")  # fmt: skip
    parser.add_argument("--memory-limit", metavar="SIZE", default="4GB",
                        help="auto keeps this process below it, and below what is free (default: 4GB)")  # fmt: skip
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no remarks")
    add_plugin_flag(parser)


def call_shrink(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Shrink every file; exit 1 when one failed."""
    del given
    from rescale_bench.runner.single import beside, write_small

    plugins = registry(known)
    method = plugins.choose_method(parse_spec(known.methods, "methods"))
    scale, codec = parse_scale(known.scales), _codec(known, plugins, method)
    targets = _targets(known, codec.record.extension)
    single = _single(known, plugins)

    def shrink(path: Path, target: Path) -> str:
        file, notes = single.shrink(path, method, scale, codec)
        _refuse_existing(beside(target), path, known.force)
        write_small(target, file, notes)
        name = method_label(notes.method, notes.options, notes.weights)
        size = target.stat().st_size / 1000
        return f"{target}: {name} ×{notes.scale} of {notes.width}×{notes.height} pixels, {size:.1f} kB"

    return _each(known, single, targets, shrink)


def call_restore(known: argparse.Namespace, given: Sequence[str]) -> int:
    """Restore every file; exit 1 when one failed."""
    del given
    from rescale_bench.images.files import write_png
    from rescale_bench.runner.single import Overrides

    targets, plugins = _targets(known, RESTORED), registry(known)
    asked = Overrides(known.methods, known.scales, _size(known.size), known.weights, known.codecs)
    single = _single(known, plugins)

    def restore(path: Path, target: Path) -> str:
        pixels = single.restore(path, asked)
        write_png(target, pixels)
        return f"{target}: {pixels.shape[1]}×{pixels.shape[0]} pixels"

    return _each(known, single, targets, restore)


def _single(known: argparse.Namespace, plugins: Registry) -> Single:
    from rescale_bench.runner.request import Request
    from rescale_bench.runner.single import Single

    names = ("device", "threads", "tile", "memory_limit", "seed")
    return Single(Request(**{name: getattr(known, name) for name in names if name in known}), plugins)


def _size(text: str | None) -> tuple[int, int] | None:
    """Read "WIDTHxHEIGHT" as (height, width). Raises UsageError."""
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,8})[x×]([1-9]\d{0,8})", text.strip())
    if found is None:
        raise UsageError(f"'{text}' is no size in pixels (example: 4000x3000)", "size")
    return int(found[2]), int(found[1])


# --- where results go ------------------------------------------------------------


def _codec(known: argparse.Namespace, plugins: Registry, method: Chosen) -> Chosen:
    """Choose the file format: named, or the one of the output's name, or the method's own. Raises UsageError."""
    from rescale_bench.runner.single import codec_for

    own, output = plugins.own_codec(method.record), Path(known.output)
    codec = plugins.choose_codec(parse_spec(known.codecs, "codecs")) if known.codecs else own
    if not known.codecs and not _is_folder(known.output) and output.suffix != own.record.extension:
        codec = codec_for(output, plugins)
    if problems := codec.record.requires():
        raise UnavailableError("; ".join(problems), "codecs")
    return codec


def _is_folder(output: str) -> bool:
    return Path(output).is_dir() or output.endswith("/") or not Path(output).suffix


def _targets(known: argparse.Namespace, extension: str) -> list[tuple[Path, Path]]:
    """Pair each file with the one that is made of it. Raises UsageError."""
    files, output = [Path(text) for text in known.files], Path(known.output)
    if _is_folder(known.output):
        pairs = [(path, output / f"{path.stem}{extension}") for path in files]
        if twice := {target for _, target in pairs if [other for _, other in pairs].count(target) > 1}:
            raise UsageError(f"several files would become {min(twice)}; give them folders of their own", "output")
        return pairs
    if len(files) > 1:
        raise UsageError(f"{output} is one file, but there are {len(files)} pictures; name a folder", "output")
    if output.suffix.lower().replace(".jpeg", ".jpg") != extension:
        raise UsageError(f"{output}: a file of this format is called {output.stem}{extension}", "output")
    return [(files[0], output)]


def _refuse_existing(target: Path, source: Path, force: bool) -> None:
    if not target.exists():
        return
    if source.exists() and target.samefile(source):
        raise UsageError(f"{target} is the picture itself; name another", "output")
    if not force:
        raise UsageError(f"{target} exists; it is replaced with --force alone")


def _each(
    known: argparse.Namespace, single: Single, targets: Sequence[tuple[Path, Path]], make: Callable[[Path, Path], str]
) -> int:
    """Make every file, whatever becomes of the others, and say what was made and what failed."""
    from rescale_bench.runner.job import describe

    done: list[str] = []
    failed: list[str] = []

    def lines() -> Iterator[dict[str, Any]]:
        for source, target in targets:
            try:
                _refuse_existing(target, source, known.force)
                target.parent.mkdir(parents=True, exist_ok=True)
                done.append(make(source, target))
            except (Exception, SystemExit) as error:  # as in a run: a broken method ends nothing
                text = described(error, known) if isinstance(error, RescaleBenchError) else describe(error)
                failed.append(text if str(source) in text else f"{source}: {text}")
            yield {"method": known.methods, "scale": known.scales, "image": source.name}

    try:
        for _ in lines() if known.quiet else tracked(lines(), len(targets), "files"):
            pass
    finally:  # also where the user stops: what is written is said
        for line in () if known.quiet else done:
            show(line)
        for line in () if known.quiet else single.remarks:
            say(f"note: {line}")
        for line in failed:
            say(f"rescale-bench: {line}")
    return 1 if failed else 0

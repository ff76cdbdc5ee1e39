"""Programs as methods: `-m ./theirs.yaml` names the commands that shrink and enlarge; files go in and out."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Find, Half, Method, MethodRule, Rescaler, States, Traits, Value
from rescale_bench.api.registry import NAME
from rescale_bench.api.scales import NativeScales, exact, lr_size, parse_scales
from rescale_bench.errors import ImageError, MethodError, NotNativeError, UnknownNameError, UsageError
from rescale_bench.machine.plain_yaml import read_yaml
from rescale_bench.machine.printable import printable
from rescale_bench.machine.writing import reason
from rescale_bench.weights.stored import sha256

if TYPE_CHECKING:
    import torch

SUFFIXES = (".yaml", ".yml")
KEYS = ("name", "down", "up", "scales", "environment", "time_limit", "files", "citation")
GIVEN: Mapping[Half, frozenset[str]] = {
    "down": frozenset({"python", "folder", "hr", "lr", "scale", "width", "height"}),
    "up": frozenset({"python", "folder", "lr", "sr", "scale", "width", "height"}),
}
"""What a command may ask for in braces; width and height are those of the image that it has to write."""

PLACEHOLDER = re.compile(r"\{(\w+)\}")
TIME_LIMIT = 600.0
"""Seconds that a command may take where the file does not say."""

LAST_BYTES = 4096
"""How much of a program's output is looked at for its last line."""


@dataclass(frozen=True)
class Program:
    """What a YAML file says.

    commands: words by half, files of the YAML's own folder as absolute paths. environment: added to ours.
    time_limit: seconds for one command. files: all whose content counts.
    """

    path: Path
    name: str
    commands: Mapping[Half, tuple[str, ...]]
    scales: NativeScales
    environment: Mapping[str, str]
    time_limit: float
    files: tuple[Path, ...]
    citation: str

    def version(self) -> str:
        """Hash the YAML file and the files that it names; results are kept under it."""
        lines = "\n".join(f"{path.name} {sha256(path)}" for path in (self.path, *self.files))
        return f"1-{hashlib.sha256(lines.encode()).hexdigest()}"


# --- the YAML file -----------------------------------------------------------


def read_program(path: Path) -> Program:
    """Read the description of a program. Raises UsageError, one line that names the file and the key."""
    path = path.absolute()
    content = read_yaml(path, 'up: "./up {lr} {sr} {scale}"')
    for key in content:
        if key not in KEYS:
            raise UnknownNameError(f"key in {path}", key, KEYS)
    halves: tuple[Half, ...] = ("down", "up")
    commands = {half: _command(path, half, _text(path, content, half)) for half in halves if half in content}
    if not commands or "scales" not in content:
        raise UsageError(f"{path} needs 'scales' and at least one of 'down' and 'up'")
    words = [word for command in commands.values() for word in command]
    named = [Path(word) for word in words if os.path.isabs(word) and Path(word).is_file()]
    return Program(
        path=path,
        name=_name(path, _text(path, content, "name") or path.stem),
        commands=commands,
        scales=_scales(path, content["scales"]),
        environment=_environment(path, content.get("environment", {})),
        time_limit=_seconds(path, _text(path, content, "time_limit")),
        files=tuple(dict.fromkeys([*named, *_files(path, content.get("files", []))])),
        citation=_text(path, content, "citation") or str(path),
    )


def _text(path: Path, content: Mapping[str, Any], key: str) -> str:
    value = content.get(key, "")
    if not isinstance(value, str):
        raise UsageError(f"{path}: {key} must be one text")
    return value.strip()


def _name(path: Path, name: str) -> str:
    if not NAME.fullmatch(name):
        raise UsageError(f"{path}: '{name}' is not a name (letters, digits, '_', '.', '@', '-'); say name: in the file")
    return name


def _command(path: Path, half: Half, text: str) -> tuple[str, ...]:
    """Split a command into words, without a shell, and find the files that they name."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{path}: {half}: {error}") from None
    if not words:
        raise UsageError(f"{path}: {half} is empty")
    for name in PLACEHOLDER.findall(text):
        if name not in GIVEN[half]:
            raise UnknownNameError(f"placeholder of {half} in {path}", name, GIVEN[half])
    for name in ("lr", "hr" if half == "down" else "sr"):
        if f"{{{name}}}" not in text:
            raise UsageError(f"{path}: {half} has no {{{name}}}: the program must be told the file")
    shared = {"python": sys.executable, "folder": str(path.parent)}
    words = [_beside(path, _filled(word, shared)) for word in words]
    return (_program(path, half, words[0]), *words[1:])


def _filled(word: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), word)


def _beside(path: Path, word: str) -> str:
    """Turn a word that is a file beside the YAML file into its path: the program runs in another folder."""
    file = path.parent / word
    return os.path.normpath(file) if word and file.is_file() else word


def _program(path: Path, half: Half, word: str) -> str:
    if os.sep not in word and shutil.which(word) is None:
        raise UsageError(f"{path}: {half}: no program '{word}' on PATH; write ./{word} for one beside the file")
    if os.sep in word and not os.access(path.parent / word, os.X_OK):
        helps = "chmod +x it" if (path.parent / word).is_file() else "there is no such file"
        raise UsageError(f"{path}: {half}: cannot run {word}: {helps}")
    return word


def _scales(path: Path, value: object) -> NativeScales:
    items = value if isinstance(value, list) else [value]
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) < len(items):
        raise UsageError(f"{path}: scales must be a list such as [2, 3, 4]")
    try:
        return NativeScales(frozenset(parse_scales(",".join(texts))))
    except UsageError as error:
        raise UsageError(f"{path}: scales: {error}") from None


def _environment(path: Path, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise UsageError(f"{path}: environment must hold 'NAME: value' lines")
    return value


def _seconds(path: Path, text: str) -> float:
    try:
        seconds = float(text or TIME_LIMIT)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"{path}: time_limit: '{text}' is not a number of seconds above 0")
    return seconds


def _files(path: Path, value: object) -> list[Path]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{path}: files must be a list of paths")
    files = [path.parent / item for item in value]
    for file in files:
        if not file.is_file():
            raise UsageError(f"{path}: files: there is no file {file}")
    return files


# --- the halves --------------------------------------------------------------


class ProgramRescaler:
    """Run a command for each half, in a temporary folder that holds its input alone."""

    parameter_count = None

    def __init__(self, program: Program) -> None:
        """Take the description."""
        self.program = program

    def downscale(self, hr: torch.Tensor, scale: float) -> torch.Tensor:
        """Give the HR as hr.png to the program and read the LR that it wrote. Raises MethodError."""
        return self._run("down", ("hr", hr), "lr", scale, lr_size((hr.shape[-2], hr.shape[-1]), scale))

    def upscale(self, lr: torch.Tensor, scale: float, size: tuple[int, int]) -> torch.Tensor:
        """Give the LR as lr.png to the program and read the image that it wrote. Raises MethodError."""
        return self._run("up", ("lr", lr), "sr", scale, size)

    def _run(
        self, half: Half, given: tuple[str, torch.Tensor], wanted: str, scale: float, size: tuple[int, int]
    ) -> torch.Tensor:
        program = self.program
        if exact(scale) not in program.scales:
            raise NotNativeError(f"{program.name} serves {program.scales}, not {exact(scale)}")
        with tempfile.TemporaryDirectory(prefix="rescale-bench-") as name:
            folder, (kind, image) = Path(name), given
            paths = {file: str(folder / f"{file}.png") for file in (kind, wanted)}
            _write(paths[kind], image, f"{program.name}: {half}")
            values = {**paths, "scale": str(exact(scale)), "width": str(size[1]), "height": str(size[0])}
            self._start(half, [_filled(word, values) for word in program.commands[half]], folder)
            return _read(Path(paths[wanted]), f"{program.name}: {half}")

    def _start(self, half: Half, words: Sequence[str], folder: Path) -> None:
        """Run the command to its end. Raises MethodError with the last line that it printed."""
        program = self.program
        where = f"{program.name}: {half}"
        environment = {**os.environ, "TMPDIR": str(folder), **program.environment}
        with tempfile.TemporaryFile() as log:
            try:
                # A session of its own, so that all that it starts can be ended with it.
                process = subprocess.Popen(
                    words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise MethodError(f"{where}: cannot start {words[0]}: {reason(error)}") from None
            try:
                code = process.wait(program.time_limit)
            except subprocess.TimeoutExpired:
                raise MethodError(
                    f"{where} was stopped after {program.time_limit:g} s, the time_limit of {program.path.name}"
                ) from None
            finally:
                _end(process)
            if code:
                ended = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
                raise MethodError(f"{where} {ended}: {_last_line(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a program: its children too."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended
    finally:
        process.wait()


def _last_line(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
    return printable(next(filter(None, reversed(lines)), "it printed nothing"))


def _write(path: str, image: torch.Tensor, where: str) -> None:
    """Write an image (1, C, H, W) in [0, 1] as 8-bit PNG. Raises MethodError for values between the 8-bit levels."""
    import torch

    from rescale_bench.images.files import write_png

    levels = image[0].to("cpu", torch.float64) * 255
    if (levels - levels.round()).abs().max() > 1e-3:
        raise MethodError(f"{where} reads 8-bit files, and was given an image between the levels (a float LR?)")
    write_png(path, levels.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def _read(path: Path, where: str) -> torch.Tensor:
    import torch

    from rescale_bench.images.files import read_image

    if not path.is_file():
        raise MethodError(f"{where} ended without an error and wrote no {path.name}")
    try:
        pixels = read_image(path).pixels
    except ImageError as error:
        raise MethodError(f"{where} wrote a file that cannot be used: {error}") from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].to(torch.float32).div_(255)


# --- the rule ----------------------------------------------------------------


def _build(program: Program, states: States, device: str, options: Mapping[str, Value]) -> Rescaler:
    del states, device, options
    return ProgramRescaler(program)


def derive(name: str, find: Find) -> Method | None:
    """Make a method of a YAML file's path; None for other names. Raises UsageError."""
    path, present = Path(name), os.path.isfile(name)
    if path.suffix not in SUFFIXES or ("+" in name and not present):
        return None
    if not present:
        raise UsageError(f"there is no program file {name}", "methods")
    program = read_program(path)
    try:
        taken = find(program.name)
    except UnknownNameError:
        taken = None
    if taken is not None:
        raise UsageError(f"{name}: a method is called {program.name} already; say another name: in the file", "methods")
    return Method(
        name=program.name,
        summary=f"the program of {path.name}",
        citation=program.citation,
        scales=program.scales,
        build=partial(_build, program),
        version=program.version(),
        halves=frozenset(program.commands),
        traits=Traits(derived=True, external=True),
    )


@hookimpl
def rescale_bench_method_rules() -> Iterable[MethodRule]:
    """Yield the rule for files of YAML, asked before those that take names apart."""
    yield MethodRule("FILE.yaml", "a program: the file names the commands for down and up", derive, priority=1)

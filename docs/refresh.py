"""Run the commands that the pages print, and write what they answered back into the pages.

    python docs/refresh.py [docs/PAGE.md ...]

A ```console block holds commands (lines that begin with `$ `), each followed by what it prints on stdout and stderr.
The blocks of a page run in order in one empty folder, with 100 columns, no colour, no data folder and no weights but
those that ship. Two folders are printed under other names: FOLDERS. `$ echo $?` prints the exit code of the command
above it; a command without it must exit with 0, or the page must show what it said. Lines of progress are left out.

Two things may differ from what is printed: a line `...` stands for any lines, `...` inside a line for any text; and the
fields of UNSTABLE. tests/test_docs.py compares, this script replaces: a block that still agrees stays as it is; else
as many lines before the first `...` and after the last one are kept as before.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGES = Path(__file__).parent
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.S | re.M)
ELLIPSIS = "..."
UNSTABLE = (
    (re.compile(r"\b\d+(\.\d+)? ?(s|ms|seconds|minutes)\b"), "SECONDS"),
    (re.compile(r"\b\d+(\.\d+)? (kB|MB|GB)\b"), "SIZE"),
    (re.compile(r"\b\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?)?"), "DATE"),
    (re.compile(r"\b\d+\.\d+\.\d+[\w.+]*"), "VERSION"),
)
"""Fields that are another machine's, or another day's."""
FOLDERS = ("/home/you", "/path/to/rescale-bench")
"""What is printed for the temporary folder and for the repository."""
PROGRESS = re.compile(r"\d+/\d+ cells, .* left")


@dataclass(frozen=True)
class Step:
    """One command and the lines printed below it."""

    command: str
    expected: tuple[str, ...]


def steps(block: str) -> list[Step]:
    """Read a block. Raises ValueError where it does not begin with a command."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found:
            found[-1][1].append(line)
        else:
            raise ValueError(f"a console block begins with '{line}', not with a command")
    return [Step(command, tuple(lines)) for command, lines in found]


def agrees(expected: tuple[str, ...], actual: tuple[str, ...]) -> bool:
    """Compare outputs but for ellipses, unstable fields and spaces at the ends of lines."""
    pattern = ""
    for line in expected:
        if line == ELLIPSIS:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r"[^\n]*?".join(re.escape(part) for part in _stable(line).split(ELLIPSIS)) + "\n"
    return re.fullmatch(pattern, "".join(_stable(line) + "\n" for line in actual)) is not None


def _stable(line: str) -> str:
    for field, name in UNSTABLE:
        line = field.sub(name, line)
    return line.rstrip()


def renewed(expected: tuple[str, ...], actual: tuple[str, ...]) -> tuple[str, ...]:
    """Say what to print: what was there if it still agrees, else the new lines, shortened where the old ones were."""
    if agrees(expected, actual):
        return expected
    if ELLIPSIS not in expected:
        return actual
    head = expected.index(ELLIPSIS)
    tail = expected[::-1].index(ELLIPSIS)
    return (*actual[:head], ELLIPSIS, *actual[len(actual) - tail :])


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Go to an empty folder, in the environment that the pages assume."""
    before, kept = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for variable in [variable for variable in os.environ if variable.startswith("RESCALE_BENCH_")]:
            del os.environ[variable]
        home, here = folder / "cache", folder / "here"
        here.mkdir()
        os.environ |= {"RESCALE_BENCH_HOME": str(home), "RESCALE_BENCH_CACHE": str(home), "TORCH_HOME": str(home)}
        # Else a run says when others keep the cores busy.
        os.environ |= {"RESCALE_BENCH_OFFLINE": "1", "COLUMNS": "100", "NO_COLOR": "1", "OMP_WAIT_POLICY": "passive"}
        # For commands that only a shell can take, with our own program among them.
        os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        # What programs print reaches a file in other blocks than it reaches a terminal; pages show neither's order.
        os.environ.pop("PYTHONUNBUFFERED", None)
        # Annotations are for GitHub's pages alone.
        os.environ.pop("GITHUB_ACTIONS", None)
        os.chdir(here)
        try:
            yield here
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(kept)


def run_page(text: str) -> Iterator[tuple[Step, tuple[str, ...], str]]:
    """Run a page's commands in order; yields each with what it printed, and what is wrong with its exit code or ""."""
    with workplace() as here:
        code = 0
        for block in BLOCK.findall(text):
            todo = steps(block)
            for step, following in zip(todo, [*todo[1:], None], strict=True):
                wrong = ""
                if step.command == "echo $?":
                    printed = str(code)
                else:
                    code, printed = execute(step.command)
                    told = following is not None and following.command == "echo $?"
                    if code and not told and not set(step.expected) - {ELLIPSIS}:
                        wrong = f"`{step.command}` exits with {code}, and the page does not say so"
                printed = printed.replace(str(here.parent), FOLDERS[0]).replace(str(PAGES.parent), FOLDERS[1])
                lines = (line.rstrip() for line in printed.rstrip().splitlines())
                yield step, tuple(line for line in lines if not PROGRESS.fullmatch(line)), wrong


def execute(command: str) -> tuple[int, str]:
    """Run a command here; returns exit code and output. Ours run in this process, which imports torch once."""
    if not command.startswith("rescale-bench ") or any(sign in command for sign in "|><;&"):
        done = subprocess.run(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        return done.returncode, done.stdout
    import shlex

    from rescale_bench.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = main(shlex.split(command, comments=True)[1:])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 2
    return code, printed.getvalue()


def refresh(page: Path) -> bool:
    """Rewrite a page; returns whether it moved."""
    text = page.read_text()
    printed = iter(list(run_page(text)))

    def rewritten(match: re.Match[str]) -> str:
        lines = []
        for step in steps(match[1]):
            _, actual, wrong = next(printed)
            if wrong:
                print(f"{page.name}: {wrong}", file=sys.stderr)
            lines += [f"$ {step.command}", *renewed(step.expected, actual)]
        return "```console\n" + "\n".join(lines) + "\n```"

    fresh = BLOCK.sub(rewritten, text)
    page.write_text(fresh)
    return fresh != text


if __name__ == "__main__":
    for path in [Path(name).resolve() for name in sys.argv[1:]] or sorted(PAGES.glob("*.md")):
        print(f"{path.name}: {'renewed' if refresh(path) else 'as it was'}", file=sys.stderr)

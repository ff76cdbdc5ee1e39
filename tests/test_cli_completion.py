"""Completion as shells ask for it, and what --version says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
BASH = """
eval "$(register-python-argcomplete rescale-bench)"
COMP_LINE="$1"; COMP_POINT=${#1}; COMP_TYPE=9; COMP_WORDS=($1); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_python_argcomplete rescale-bench "${COMP_WORDS[-1]}" ""
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'register-python-argcomplete --shell fish rescale-bench | source; complete --do-complete "$argv[1]"'


def environment():
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def words(shell, line):
    """Ask a shell to complete a line."""
    command = {"bash": ["bash", "-c", BASH, "bash", line], "fish": ["fish", "-c", FISH, line]}[shell]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stderr
    return {text.split("\t")[0].rstrip() for text in done.stdout.splitlines()} - {""}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rescale-bench re", {"report", "restore"}),
        ("rescale-bench table --col", {"--columns"}),
        ("rescale-bench run --methods bicubic,lanc", {"bicubic,lanczos3"}),
        ("rescale-bench run --protocol srcnn", {"srcnn-y"}),
    ],
)
def test_bash_completes_verbs_flags_and_names(line, expected):
    assert words("bash", line) == expected


@pytest.mark.skipif(not shutil.which("fish"), reason="there is no fish")
def test_fish_completes():
    assert words("fish", "rescale-bench rep") == {"report"}


def test_the_version_names_torch_and_the_device():
    done = subprocess.run([BIN / "rescale-bench", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"rescale-bench \S+, torch \S+, device (cpu|cuda \(.+\))\n", done.stdout)

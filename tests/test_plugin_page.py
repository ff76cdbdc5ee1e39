"""docs/plugin.md: its files and every command of it, run as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[1] / "docs" / "plugin.md").read_text()
FILES = dict(re.findall(r'```python title="(.*?)"\n(.*?)```', TEXT, re.S))
SHELL = re.findall(r"```sh\n(.*?)```", TEXT, re.S)


def run(text, folder, home):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RESCALE_BENCH_HOME": str(home),
        "PIP_NO_INDEX": "1",
    }
    command = ["bash", "-euc", text]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wrapper_is_short():
    assert set(FILES) == {"my_network.py", "my_method.py", "my_luma.py", "my_metric.py", "my_parts.py"}
    assert len(FILES["my_method.py"].splitlines()) <= 30
    assert max(map(len, FILES["my_method.py"].splitlines())) <= 120


def test_files_of_the_page_are_as_wide_as_our_own():
    assert max(len(line) for text in FILES.values() for line in text.splitlines()) <= 120


def test_the_wrapper_imports_no_torch_before_it_must(tmp_path):
    (tmp_path / "my_method.py").write_text(FILES["my_method.py"])
    code = "import sys, my_method; print(len(list(my_method.rescale_bench_methods())), 'torch' in sys.modules)"
    assert run(f'{sys.executable} -c "{code}"', tmp_path, tmp_path) == "1 False\n"


def test_every_command_of_the_page_works(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    verify, measure, luma, package, parts = SHELL
    found = run(verify, tmp_path, tmp_path / "home")
    assert [line.split()[0] for line in found.splitlines()[1:]] == ["ok"] * 7
    found = run(luma, tmp_path, tmp_path / "home")
    assert {line.split()[0] for line in found.splitlines()[1:]} <= {"ok", "n/a"}
    # The page exports PYTHONPATH once; here each block is a shell of its own.
    assert "mine [paper]" in run(f"export PYTHONPATH=.\n{measure}", tmp_path, tmp_path / "home")
    found = run(package, tmp_path, tmp_path / "home")
    assert found.splitlines().count("my-method") == 1
    assert "failed" not in found
    found = run(parts, tmp_path, tmp_path / "home")
    assert "mine · protocol rgb8-wide version 1 · codec deflate:level=9" in found
    assert all(name in found.split("Whole data sets")[0] for name in ("sharpness", "bpp_deflate ↓"))
    assert "colour_gap is the worst of 1 images" in found

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from rescale_bench import environment


def test_is_json_and_complete(monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = json.loads(json.dumps(environment.describe()))
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["torch"] == importlib.metadata.version("torch")
    assert found["variables"]["RESCALE_BENCH_OFFLINE"] == "1"
    assert found["threads"] == found["threads"] | {"OMP_NUM_THREADS": "1", "torch": torch.get_num_threads()}
    assert 1 <= found["cores_usable"] <= found["cores"] == os.cpu_count()
    assert found["cpu"]


def test_only_our_variables_are_kept(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    assert "abc" not in json.dumps(environment.describe())


def test_memory_is_the_kernels():
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert abs(environment.memory_mb() - int(total[1]) * 1024 // 10**6) <= 1


def test_commit_follows_the_repository(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("1\n")
    assert environment.commit(package) is None
    git("init", "--quiet")
    assert environment.commit(package) is None  # in a repository, but not part of it
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert environment.commit(package) == head
    (package / "a.py").write_text("2\n")
    assert environment.commit(package) == f"{head}+changes"


def test_commit_without_git(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.commit(Path(__file__).parent) is None


def test_describing_does_not_import_torch():
    code = "import sys; from rescale_bench import environment as e; e.describe(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_readable_is_no_failure(monkeypatch):
    monkeypatch.setattr(environment, "_read", lambda path: None)
    monkeypatch.delattr(os, "sysconf")
    found = environment.describe()
    assert found["memory_mb"] is None
    assert json.dumps(found)

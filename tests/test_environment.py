import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from rescale_bench.machine import device, environment


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


def test_crowding_counts_what_others_run(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "LOADAVG", tmp_path / "loadavg")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert device.crowding(8) == ""  # no such file: the platform does not tell
    for running, threads, said in (
        (1, 4, ""), (1, 9, ""), (3, 2, ""), (3, 3, "2 of 4 cores are busy with other work"),
        (6, 1, "4 of 4 cores are busy with other work"),
    ):  # fmt: skip
        (tmp_path / "loadavg").write_text(f"0.52 0.58 0.59 {running}/602 12345\n")
        assert device.crowding(threads) == said
    (tmp_path / "loadavg").write_text("nonsense\n")
    assert device.crowding(4) == ""


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
    code = "import sys; from rescale_bench.machine import environment as e; e.describe(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_readable_is_no_failure(monkeypatch):
    monkeypatch.setattr(environment, "_read", lambda path: None)
    monkeypatch.delattr(os, "sysconf")
    found = environment.describe()
    assert found["memory_mb"] is None
    assert json.dumps(found)


def test_the_libraries_that_write_files_are_named():
    from PIL import features

    found = environment.libraries()
    assert set(found) == {"charls", "libjpeg-turbo", "libjxl", "libwebp", "openjpeg", "zlib"}
    assert found["zlib"] == features.version("zlib")


def test_what_decides_the_last_bits_is_kept(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    found = environment.describe()
    assert found["variables"]["ATEN_CPU_CAPABILITY"] == "avx2"
    assert found["arithmetic"]["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert found["arithmetic"]["deterministic"] is False
    torch.use_deterministic_algorithms(True)
    try:
        assert environment.arithmetic()["deterministic"] is True
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_driver_is_read_from_the_kernel(monkeypatch):
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version: 12\n"
    monkeypatch.setattr(environment, "_read", lambda path: text)
    assert environment.gpu_driver() == "550.54.15"
    text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
    assert environment.gpu_driver() == "570.86.15"


def test_an_earlier_environment_stays():
    first, second = {"python": "3.11"}, {"python": "3.12"}
    assert environment.with_earlier(first, {}) == first
    assert environment.with_earlier(first, first) == first
    once = environment.with_earlier(second, first)
    assert once == {"python": "3.12", "earlier": [first]}
    assert environment.with_earlier(second, once) == once
    assert environment.with_earlier(first, once)["earlier"] == [first, second]


def test_a_run_writes_where_it_was_measured(tmp_path, monkeypatch):
    """The command starts without torch; its threads and instruction set are known all the same."""
    chosen = ["run", "-m", "nearest", "-d", "photos", "-s", "2", "--metrics", "psnr_y", "-q", "--threads", "1"]
    command = [sys.executable, "-m", "rescale_bench", *chosen, "-o", str(tmp_path)]
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    subprocess.run([*command, "--limit", "1"], capture_output=True, check=True)
    found = json.loads((tmp_path / "env.json").read_text())
    assert found["threads"]["torch"] == 1
    assert found["arithmetic"]["cpu_capability"]
    assert found["workers"] == {"backend": "local", "processes": 1, "device": "cpu"}
    assert "earlier" not in found
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "0")
    subprocess.run([*command, "--limit", "2"], capture_output=True, check=True)
    found = json.loads((tmp_path / "env.json").read_text())
    assert [one["variables"]["RESCALE_BENCH_OFFLINE"] for one in found["earlier"]] == ["1"]

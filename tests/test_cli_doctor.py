"""`doctor` says what is wrong with an installation, and what to do."""

import importlib.metadata
import json
import os
import sys

import pytest
import toys
from packaging.requirements import Requirement

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.doctor import OK, PROBLEM, WARNING, content, installation
from rescale_bench.doctor.examination import load_what_loads
from rescale_bench.metrics.niqe import NIQE_PRISTINE


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch"


def statuses(checks):
    return {check.name: check.status for check in checks}


def test_this_installation_has_no_problem(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    named = {check["name"]: check for check in found["checks"]}
    assert found["counts"]["problem"] == 0
    assert found["counts"]["ok"] == sum(check["status"] == "ok" for check in found["checks"])
    for name in ("python", "torch", "torchvision", "cpu", "plugins", "codecs", "metrics", "data", "results", "cache"):
        assert name in named
    assert importlib.metadata.version("torch") in named["torch"]["detail"]
    assert "photos (5)" in named["data"]["detail"]
    assert all(check["remedy"] for check in found["checks"] if check["status"] != "ok")
    assert os.listdir(tmp_path) == []  # it leaves nothing behind


def test_a_broken_plugin_is_a_problem_and_the_others_load(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = toys.plugin_file(tmp_path, toys.FIXED, "good")
    bad = toys.plugin_file(tmp_path, "import no_such_module", "bad")
    twice = toys.plugin_file(tmp_path, toys.FIXED.replace("boxes", "bicubic"), "twice")
    assert main(["doctor", "--plugin", good, "--plugin", bad, "--plugin", twice]) == 1
    lines = capsys.readouterr().out.splitlines()
    problems = [line for line in lines if line.startswith("problem")]
    assert len(problems) == 2
    assert "ModuleNotFoundError" in problems[0]
    assert "'bicubic' is already registered by 'classic'" in problems[1]
    assert any(line.startswith("ok") and "good.py" in line and "irn" in line for line in lines)
    assert "boxes" in load_what_loads([good, bad])[0].methods


def test_a_broken_entry_point_is_left_out(monkeypatch):
    real = importlib.metadata.entry_points
    bad = importlib.metadata.EntryPoint("bad", "no_such_module_at_all", "rescale_bench")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [*real(group=group), bad])
    registry, checks = load_what_loads()
    assert {"bicubic", "irn", "aidn"} <= set(registry.methods)
    assert statuses(checks) == {"plugins": OK, "plugin bad": PROBLEM}
    assert "RESCALE_BENCH_DISABLE=bad" in checks[-1].remedy
    monkeypatch.setenv("RESCALE_BENCH_DISABLE", "bad,bda")
    registry, checks = load_what_loads()
    assert [check.status for check in checks] == [OK, WARNING]
    assert "'bda', which is not installed" in checks[-1].detail


def test_packages_out_of_range_and_missing_are_named(monkeypatch):
    lines = ["numpy>=999", "no-such-package", 'pyiqa==0.0.1; extra == "iqa"', 'absent; extra == "iqa"',
             'other-system; sys_platform == "nowhere"']  # fmt: skip
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    found = {check.name: check for check in installation.packages()}
    assert found["numpy"].status == found["no-such-package"].status == PROBLEM
    assert found["numpy"].detail.endswith("where numpy>=999 is wanted")
    assert found["numpy"].remedy == "pip install 'numpy>=999'"
    assert found["extra iqa"].status == WARNING
    assert found["extra iqa"].remedy == "pip install 'rescale-bench[iqa]'"
    assert "other-system" not in found


def test_an_extra_that_nobody_installed_is_fine(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ['absent; extra == "iqa"'])
    found = statuses(installation.packages())
    assert found["packages"] == found["extra iqa"] == OK


def test_a_torchvision_for_another_torch_is_a_warning(monkeypatch):
    assert str(installation.wanted_torch(importlib.metadata.requires("torchvision")).specifier).startswith("==2")
    monkeypatch.setattr(installation, "wanted_torch", lambda lines: Requirement("torch==1.0"))
    (check,) = installation.torchvision()
    assert check.status == WARNING
    assert "built for torch==1.0, not 2" in check.detail


def test_a_torch_that_does_not_load_is_a_problem(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (check,) = installation.torch()
    assert check.status == PROBLEM
    assert "ModuleNotFoundError" in check.detail


def test_a_card_that_a_cpu_build_cannot_use_is_a_warning(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(installation.environment, "gpus", lambda: ["NVIDIA H200"])
    (check,) = installation.gpu()
    assert check.status == WARNING
    assert "NVIDIA H200: this torch was built for the CPU alone" in check.detail


def test_more_threads_than_cores_are_a_warning(monkeypatch):
    import torch

    monkeypatch.setattr(installation, "usable_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    (check,) = installation.cpu()
    assert check.status == WARNING
    assert check.remedy.startswith("set OMP_NUM_THREADS=2")


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("RESCALE_BENCH_CACHE", str(blocked / "cache"))
    monkeypatch.setenv("RESCALE_BENCH_HOME", "/proc/nothing")  # even root cannot make a file there
    found = {check.name: check for check in installation.folders(blocked / "runs")}
    assert found["results"].status == PROBLEM
    assert "is a file, not a folder" in found["results"].detail
    assert found["cache"].status == found["home"].status == WARNING
    assert "cannot be written" in found["home"].detail


def test_little_room_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "ROOM", 10**18)
    assert statuses(installation.folders(tmp_path))["results"] == WARNING


def test_damaged_weights_are_a_problem(registry, home):
    file = home / "weights" / "irn" / "mine" / "x2.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no safetensors")
    found = [check for check in content.weights(registry) if check.name == "weights irn"]
    assert [check.status for check in found] == [PROBLEM, OK]
    assert str(file) in found[0].remedy


def test_metric_files_that_are_missing_or_changed(registry, torch_home):
    found = {check.name: check for check in content.metrics(registry)}
    assert found["metric niqe_lr"].status == WARNING
    assert found["metric niqe_lr"].remedy == "rescale-bench prepare --metrics niqe_lr"
    file = NIQE_PRISTINE.location
    file.parent.mkdir(parents=True)
    file.write_bytes(b"changed")
    found = {check.name: check for check in content.metrics(registry)}
    assert "has sha256" in found["metric niqe_lr"].detail
    assert "delete it" in found["metric niqe_lr"].remedy


def test_a_data_folder_that_is_not_there(registry, tmp_path, monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_DATA", str(tmp_path / "none"))
    found = list(content.data(registry))
    assert "names" in found[0].detail
    assert found[0].status == WARNING
    assert {"data Set5", "data"} <= {check.name for check in found}

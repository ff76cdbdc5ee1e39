"""`new-plugin` writes a project that pip installs, that passes `verify` and that runs, without touching our tree."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rescale_bench.api.registry import load_registry
from rescale_bench.cli import main
from rescale_bench.errors import UsageError
from rescale_bench.scaffold import FILES, Project, check_name, compatible, new_plugin, rendered

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.mark.parametrize("name", ["", "Mine", "my_method", "2x", "a--b", "-a", "a-", "a.b", "a b", "a:b", "a+b", "a/b",
                                  "../a", "class", "né", "x" * 41])  # fmt: skip
def test_names_that_cannot_be_names(name, registry):
    with pytest.raises(UsageError, match="cannot be a name"):
        check_name(name, registry)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bicubic", "is taken: methods of plugin classic"),
        ("png", "is taken: codecs"),
        ("rgb8", "is taken: protocols"),
        ("mine-type3", "would be read as NAME-type3"),
        ("classic", "a plugin called 'classic' is installed already"),
        ("plugins", "a module called rescale_bench_plugins is installed already"),
    ],
)
def test_names_that_are_taken(name, says, registry):
    with pytest.raises(UsageError, match=says):
        check_name(name, registry)


def test_existing_folders_are_refused(tmp_path, registry):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for folder in ("there", "link"):
        with pytest.raises(UsageError, match="is there already"):
            new_plugin("mine", registry, tmp_path / folder)
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]


def test_folders_that_cannot_be_written_leave_nothing(tmp_path, registry):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        new_plugin("mine", registry, tmp_path / "file" / "mine")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("version", "wanted"), [("0.1.0", ">=0.1,<0.2"), ("0.12.3", ">=0.12,<0.13"), ("1.4.2", ">=1.4,<2")]
)
def test_the_range_of_versions(version, wanted):
    assert compatible(version) == wanted


def test_what_is_written_is_named_after_the_method():
    texts = rendered(Project("my-own-2"))
    assert len(texts) == len(FILES)
    project = tomllib.loads(texts["pyproject.toml"])
    assert project["project"]["name"] == "rescale-bench-my-own-2"
    assert project["project"]["entry-points"]["rescale_bench"] == {"my-own-2": "rescale_bench_my_own_2"}
    for path, text in texts.items():
        if path.endswith(".py"):
            compile(text, path, "exec")
            assert max(map(len, text.splitlines())) <= 120
    assert "class MyOwn2Rescaler" in texts["src/rescale_bench_my_own_2/rescaler.py"]
    assert not any("{{" in text for text in texts.values())


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Write a project with the command and install it for one process: (project, command runner)."""
    folder = tmp_path_factory.mktemp("outside")
    assert main(["new-plugin", "my-method", "-o", str(folder / "project")]) == 0
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "RESCALE_BENCH_HOME": str(folder / "home")}

    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    flags = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command("pip", "install", *flags, "--target", str(folder / "site"), str(folder / "project"))
    return folder, command


def test_an_installed_project_passes_verify(installed):
    _, command = installed
    found = command("rescale_bench", "verify", "my-method", "--quick", "-s", "2,2.5").splitlines()
    assert found[0] == "my-method"
    statuses = {line.split(maxsplit=1)[1].partition(":")[0]: line.split()[0] for line in found[1:]}
    assert len(statuses) > 5
    # It declares no batches; everything else is checked and holds.
    assert {check: status for check, status in statuses.items() if status != "ok"} == {
        "a batch equals its images": "n/a"
    }


def test_an_installed_project_runs_beside_ours(installed):
    folder, command = installed
    chosen = ["-m", "my-method,bicubic", "-d", "photos", "--limit", "1", "-s", "2", "--metrics", "psnr_y"]
    command("rescale_bench", "run", *chosen, "-q")
    rows = json.loads(command("rescale_bench", "table", "-i", "runs/rgb8", "--format", "json"))
    assert "my-method" in json.dumps(rows)
    environment = json.loads((folder / "runs" / "rgb8" / "env.json").read_text())
    assert environment["plugins"] == {"my-method": "rescale_bench_my_method (rescale-bench-my-method 0.1.0)"}


def test_an_installed_projects_own_tests_pass(installed):
    folder, command = installed
    assert "5 passed" in command("pytest", "-q", "-p", "no:cacheprovider", str(folder / "project"))


def test_our_tree_is_untouched(installed):
    folder, _ = installed
    assert {"project", "site"} <= {path.name for path in folder.iterdir()}
    found = [
        *ROOT.glob("*my?method*"),
        *ROOT.glob("rescale_bench/**/*my?method*"),
        *ROOT.glob("plugins/**/*my?method*"),
    ]
    assert found == []

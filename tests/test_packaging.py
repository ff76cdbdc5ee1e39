"""What is installed is what lies in the repository."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_of_code_is_listed_for_installation():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    folders = set()
    for top, name in (("rescale_bench", "rescale_bench"), ("plugins", "rescale_bench_plugins")):
        for init in (ROOT / top).rglob("__init__.py"):
            inside = init.parent.relative_to(ROOT / top).parts
            folders.add(".".join((name, *inside)))
    assert listed - {"rescale_bench_published"} == folders


def test_every_plugin_has_an_entry_point():
    found = {entry.value for entry in metadata.entry_points(group="rescale_bench")}
    files = {path.stem for path in (ROOT / "plugins").iterdir() if path.stem not in ("__init__", "__pycache__")}
    assert {f"rescale_bench_plugins.{name}" for name in files} <= found


def test_versions_agree():
    import rescale_bench

    assert PROJECT["project"]["version"] == rescale_bench.__version__ == metadata.version("rescale-bench")


def test_published_tables_and_types_are_installed():
    from rescale_bench.checks import read_published, shipped_tables

    tables = (ROOT / "results" / "published").glob("*.csv")
    assert len(read_published(shipped_tables())) == sum(len(table.read_text().splitlines()) - 1 for table in tables) > 0
    assert resources.files("rescale_bench").joinpath("py.typed").is_file()


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []


def test_constraints_pin_what_is_needed():
    pinned = {
        line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split("\n")
    }
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["iqa"], *extras["zoo"], *extras["onnx"], *extras["dev"]]
    names = {line.split(">")[0].split("=")[0].split("<")[0].lower() for line in wanted}
    assert {name.replace("_", "-") for name in names} <= pinned


# --- what is built -------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build sdist and wheel from a copy of the tree, so that nothing is left in it; offline."""
    copy, dist = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    ignored = shutil.ignore_patterns("__pycache__", "*.training")
    for name in ("rescale_bench", "plugins", "results/published"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    code = (
        "import sys; from setuptools import build_meta as b; folder = sys.argv[1]; "  # setuptools changes sys.argv
        "b.build_sdist(folder); b.build_wheel(folder)"
    )
    done = subprocess.run([sys.executable, "-c", code, dist], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    return sdist, wheel


def shipped():
    """List what must be inside, relative to the repository: code, weights, templates, tables."""
    for top in ("rescale_bench", "plugins", "results/published"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and not {"__pycache__"} & set(path.parts) and ".training" not in str(path):
                yield path.relative_to(ROOT).as_posix()


def test_the_wheel_holds_plugins_weights_templates_and_tables(built):
    names = set(zipfile.ZipFile(built[1]).namelist())
    wanted = {
        re.sub("^plugins/", "rescale_bench_plugins/", re.sub("^results/published/", "rescale_bench_published/", path))
        for path in shipped()
    }
    assert wanted - names == set()
    assert sum(name.endswith(".safetensors") for name in names) >= 4
    assert sum(name.startswith("rescale_bench/scaffold/templates/") for name in names) == 8
    # Nothing else but the metadata: no tests, no folder of somebody's run.
    assert {name for name in names - wanted if ".dist-info/" not in name} == set()


def test_the_sdist_holds_the_same(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(shipped()) - names == set()
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names


def test_the_wheel_describes_itself(built):
    archive = zipfile.ZipFile(built[1])
    (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    text = archive.read(about).decode()
    assert "\nDescription-Content-Type: text/markdown\n" in text
    assert "\nLicense-Expression: MIT\n" in text
    assert f"\nVersion: {PROJECT['project']['version']}\n" in text


@pytest.mark.slow
def test_twine_accepts_both(built):
    if importlib.util.find_spec("twine") is None:
        pytest.skip("twine is not installed")
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *built], check=True)


@pytest.mark.slow
def test_the_wheel_alone_serves_the_default_run(built, tmp_path):
    """Install the wheel in a new environment outside the repository; the packages it needs are lent from here."""
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    site = subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip
    # Named in a .pth file, a folder is searched, but its own .pth files (our editable installation) are not read.
    lent = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    (Path(site) / "lent.pth").write_text(lent.replace(os.pathsep, "\n") + "\n")
    flags = ["--quiet", "--no-deps", "--no-index", "--ignore-installed", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *flags, built[1]], check=True)
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "RESCALE_BENCH_DATA")}

    def command(*arguments):
        done = subprocess.run([tmp_path / "venv" / "bin" / "rescale-bench", *arguments], cwd=tmp_path, env=environment,
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    code = "import rescale_bench, rescale_bench_plugins as p; print(rescale_bench.__file__); print(p.__file__)"
    where = subprocess.run([python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True,
                           check=True).stdout.split()  # fmt: skip
    assert all(path.startswith(site) for path in where)
    found = command("run", "-s", "2")  # the default: classic pairs on the photographs inside scikit-image
    assert "lanczos3" in found
    # Weights that ship, published tables, the page's and the plugin's templates.
    found = command(
        "run", "-m", "irn,aidn", "-d", "photos", "--limit", "1", "-s", "2", "--metrics", "psnr_y", "-o", "b"
    )
    assert "irn [base]" in found
    assert "aidn [base]" in found
    command("report", "-i", "b", "-o", "report.html", "-q")
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "pyproject.toml" in command("new-plugin", "mine")
    command("doctor")

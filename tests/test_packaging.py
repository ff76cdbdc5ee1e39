"""What is installed is what lies in the repository."""

import re
import tomllib
from importlib import metadata, resources
from pathlib import Path

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

    assert len(read_published(shipped_tables())) == 1694
    assert resources.files("rescale_bench").joinpath("py.typed").is_file()


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line)] == []


def test_constraints_pin_what_is_needed():
    pinned = {
        line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split("\n")
    }
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["iqa"], *extras["dev"]]
    names = {line.split(">")[0].split("=")[0].split("<")[0].lower() for line in wanted}
    assert {name.replace("_", "-") for name in names} <= pinned

"""What `rescale_bench` exports exists, says what it is, is on docs/api.md, and costs nothing until it is used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import rescale_bench

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "api.md").read_text()
NAMES = [name for name in rescale_bench.__all__ if name not in ("__version__", "Value")]


@pytest.mark.parametrize("name", NAMES)
def test_each_name_imports_and_says_what_it_is(name):
    found = getattr(rescale_bench, name)
    if name != "hookimpl":  # an instance of pluggy's marker
        assert found.__module__.startswith("rescale_bench.")
    assert len(found.__doc__.splitlines()[0]) > 10
    assert not found.__doc__.startswith(f"{name}(")  # what dataclasses write by themselves


def test_the_list_is_sorted_and_without_repeats():
    assert rescale_bench.__all__ == sorted(set(rescale_bench.__all__))
    assert set(rescale_bench.__all__) <= set(dir(rescale_bench))


def test_every_exception_is_exported():
    from rescale_bench import errors

    own = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)}
    assert own <= set(rescale_bench.__all__)


def test_the_page_names_exactly_what_is_exported():
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE, re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(rescale_bench.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        rescale_bench.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from rescale_bench import nothing  # noqa: F401


def test_importing_the_package_loads_nothing():
    code = (
        "import sys; import rescale_bench; print([m for m in sys.modules if m.startswith('rescale_bench.')]); "
        "from rescale_bench import Method, NativeScales, Option, State, hookimpl, load_registry; load_registry(); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_the_citation_file_is_complete_and_up_to_date():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    # What version 1.2.0 of the format requires, and what it allows as kinds of software.
    assert {"cff-version", "message", "title", "authors"} <= set(found)
    assert found["cff-version"] == "1.2.0"
    assert found["type"] == "software"
    assert found["authors"] == [{"name": "The rescale-bench developers"}]
    assert str(found["version"]) == rescale_bench.__version__
    assert found["license"] == "MIT"

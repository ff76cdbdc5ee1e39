"""Fixtures shared by every test; a test that needs data skips where its variable is unset, and CI forbids that."""

import os
import signal
from pathlib import Path

import pytest

# A shell starts a job in the background with Ctrl-C ignored, and every process of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Threads of torch wait for one another in loops, and a run takes as many as there are cores, beside other tests: its
# processor time was six times this. Read when torch is loaded, here and in every process that a test starts.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _folder(variable):
    value = os.environ.get(variable)
    if not value:
        if os.environ.get("RESCALE_BENCH_FORBID_SKIPS"):
            pytest.fail(f"{variable} must be set in CI")
        pytest.skip(f"{variable} is not set")
    path = Path(value).resolve()
    assert path.is_dir(), f"{variable}={value} is not a folder"
    return path


@pytest.fixture(scope="session")
def data_root():
    return _folder("RESCALE_BENCH_DATA")


@pytest.fixture(scope="session")
def parity_root():
    return _folder("RESCALE_BENCH_PARITY")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """Keep the user's own home and cache out of the tests."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("RESCALE_BENCH_HOME", str(folder))
    monkeypatch.setenv("RESCALE_BENCH_CACHE", str(folder / "cache"))
    return folder

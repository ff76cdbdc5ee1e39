"""SHA-256 of images: what is remembered is right, also where a file changes under its name."""

import hashlib
import os

import pytest

from rescale_bench.runner.hashing import look_at_all
from rescale_bench.weights.downloads import cache_folder

OLD = 10**18


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for index, path in enumerate(paths):
        path.write_bytes(bytes([index]) * 5000)
    return paths


def right(paths):
    return [(hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size) for path in paths]


def settled(monkeypatch):
    """Let the files be written long ago."""
    monkeypatch.setattr("rescale_bench.runner.hashing.FRESH", -(10**12))


def test_files_are_hashed_and_known_again(files, monkeypatch):
    assert look_at_all(files) == right(files)  # just written: not remembered
    settled(monkeypatch)
    for _ in range(3):
        assert look_at_all([*files, files[0]]) == right([*files, files[0]])
    assert (cache_folder() / "hashes.sqlite").is_file()
    # Known files are not opened again.
    monkeypatch.setattr("rescale_bench.runner.hashing.looked_at", lambda path: (f"read {path.name}", 0))
    assert look_at_all(files) == right(files)
    files[2].write_bytes(b"other" * 1000)
    os.utime(files[2], ns=(OLD, OLD))
    assert [digest for digest, _ in look_at_all(files)][2] == "read 2.png"


def test_a_file_put_in_the_place_of_another_is_seen(files, monkeypatch):
    settled(monkeypatch)
    os.utime(files[0], ns=(OLD, OLD))
    os.utime(files[1], ns=(OLD, OLD))
    before = look_at_all(files)
    os.replace(files[1], files[0])  # of the same size and time
    assert look_at_all(files[:1]) == right(files[:1]) != before[:1]


def test_what_cannot_be_read_or_remembered(files, monkeypatch, tmp_path):
    settled(monkeypatch)
    (cache_folder()).mkdir(parents=True, exist_ok=True)
    (cache_folder() / "hashes.sqlite").write_text("no database" * 100)
    assert look_at_all([*files, tmp_path / "none.png"]) == [*right(files), ("", 0)]
    monkeypatch.setenv("RESCALE_BENCH_CACHE", str(files[0] / "cache"))
    assert look_at_all(files) == right(files)

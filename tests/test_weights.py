"""Lookup, listing, headers and the safetensors round trip; the outside reference is safetensors itself."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from rescale_bench.errors import UnavailableError, UsageError, WeightsError
from rescale_bench.weights import stored as weights

TAGS = ("published", "small")


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {"a.weight": torch.randn(4, 3, 3, 3, generator=generator), "a.bias": torch.randn(4, generator=generator)}


def put(root, tag, part, seed=0):
    path = Path(root) / tag / f"{part}.safetensors"
    weights.save(path, tensors(seed), {"part": part, "tag": tag})
    return path


@pytest.fixture
def mine(home):
    return home / "weights" / "irn"


@pytest.fixture
def shipped(tmp_path):
    return tmp_path / "shipped"


def found(wanted="", shipped=None, parts=("x4",)):
    return weights.find("irn", parts, TAGS, shipped, wanted)


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RESCALE_BENCH_HOME", str(tmp_path / "here"))
    assert weights.home() == tmp_path / "here"
    monkeypatch.delenv("RESCALE_BENCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.home().name == "rescale-bench"
    assert tmp_path in weights.home().parents or sys.platform == "win32"


def test_lookup_goes_by_tag_then_home_before_shipped(mine, shipped):
    small_shipped = put(shipped, "small", "x4", 1)
    assert found(shipped=shipped)[0].path == small_shipped
    small_mine = put(mine, "small", "x4", 2)
    assert found(shipped=shipped)[0].path == small_mine
    published = put(shipped, "published", "x4", 3)
    (first,) = found(shipped=shipped)
    assert (first.tag, first.part, first.path) == ("published", "x4", published)
    assert first.sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
    assert first.metadata == {"part": "x4", "tag": "published"}
    assert found("small", shipped)[0].path == small_mine


def test_all_parts_come_from_one_folder(mine, shipped):
    put(mine, "published", "kgn-x2")
    put(shipped, "published", "usn-x2")
    with pytest.raises(UnavailableError, match=r"kgn-x2\.safetensors and usn-x2\.safetensors"):
        found(shipped=shipped, parts=("kgn-x2", "usn-x2"))
    put(shipped, "small", "kgn-x2")
    put(shipped, "small", "usn-x2")
    assert [(f.tag, f.part) for f in found(shipped=shipped, parts=("kgn-x2", "usn-x2"))] == [
        ("small", "kgn-x2"),
        ("small", "usn-x2"),
    ]


def test_a_users_own_tag_counts_only_when_wanted(mine):
    put(mine, "my-run.2", "x4")
    assert found("my-run.2")[0].tag == "my-run.2"
    with pytest.raises(UnavailableError):
        found()


def test_missing_weights_say_what_where_and_how(mine, shipped):
    put(mine, "own", "x2")
    with pytest.raises(UnavailableError) as error:
        weights.find("irn", ["x4"], TAGS, shipped, files={"x4": "IRN_x4.pth"})
    text = str(error.value)
    for piece in (
        "x4.safetensors",
        "published, small",
        str(mine),
        str(shipped),
        "own/x2",
        "rescale-bench prepare --weights irn",
        "rescale-bench weights import irn x4 IRN_x4.pth",
        "irn:weights=random",
    ):
        assert piece in text
    assert "\n" not in text


def test_a_path_to_a_file_or_folder(tmp_path):
    one = put(tmp_path, "folder", "x4")
    (got,) = found(str(one))
    assert (got.tag, got.part, got.path) == ("file:x4", "x4", one)
    assert found(str(one.parent))[0].tag == "file:folder"
    with pytest.raises(UnavailableError, match="lacks x8"):
        found(str(one.parent), parts=("x4", "x8"))
    with pytest.raises(UsageError, match="2 files are needed"):
        found(str(one), parts=("x4", "x8"))
    with pytest.raises(UnavailableError, match="no such file"):
        found(str(tmp_path / "absent.safetensors"))


def test_a_checkpoint_as_path_asks_for_an_import():
    with pytest.raises(UsageError, match=r"rescale-bench weights import irn x4 IRN_x4\.pth"):
        found("IRN_x4.pth")


def test_no_parts_need_no_files():
    assert found(parts=()) == []


@pytest.mark.parametrize("tag", ["random", "../up", "", "a/b", ".hidden", "IRN_x4.pth"])
def test_tags_that_cannot_be(tag):
    with pytest.raises(UsageError):
        weights.place("irn", tag, "x4")


def test_place_is_where_find_looks(mine):
    path = weights.place("irn", "published", "x4")
    assert path == mine / "published" / "x4.safetensors"
    weights.save(path, tensors(), {})
    assert found()[0].path == path


def test_available_lists_counts_and_problems(mine, shipped):
    state = tensors() | {
        "bn.weight": torch.ones(4),
        "bn.running_mean": torch.ones(4),
        "bn.running_var": torch.ones(4),
        "bn.num_batches_tracked": torch.tensor(7),
    }
    weights.save(mine / "published" / "x4.safetensors", state, {"source": "IRN_x4.pth"})
    put(shipped, "small", "x2")
    (mine / "broken").mkdir()
    (mine / "broken" / "x4.safetensors").write_bytes(b"not a file of ours")
    listed = {(entry.tag, entry.part): entry for entry in weights.available("irn", shipped)}
    assert set(listed) == {("published", "x4"), ("broken", "x4"), ("small", "x2")}
    entry = listed["published", "x4"]
    assert (entry.parameters, entry.metadata, entry.problem) == (108 + 4 + 4, {"source": "IRN_x4.pth"}, "")
    assert "damaged" in listed["broken", "x4"].problem
    assert weights.available("irn", None)[0].path.is_relative_to(mine)


def test_listing_and_lookup_do_not_import_torch(mine):
    put(mine, "published", "x4")
    code = (
        "import sys; from rescale_bench.weights import stored as weights;"
        "assert weights.available('irn', None) and weights.find('irn', ['x4'], ['published'], None);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_save_is_read_back_by_safetensors_and_by_load(tmp_path):
    path = tmp_path / "new" / "x.safetensors"
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "view": base.T,
        "shared": base,
        "count": torch.tensor(3),
        "half": base.half(),
        "grad": base.requires_grad_(),
    }
    weights.save(path, state, {"quote": 'é "x"', "b": "2"})
    with safe_open(path, "pt") as reference:
        assert reference.metadata() == {"quote": 'é "x"', "b": "2"}
        for key, tensor in state.items():
            assert torch.equal(reference.get_tensor(key), tensor)
    loaded, metadata = weights.load(path)
    assert metadata == {"quote": 'é "x"', "b": "2"}
    assert all(torch.equal(loaded[key], tensor) and loaded[key].dtype == tensor.dtype for key, tensor in state.items())
    assert weights.read_header(path).shapes["view"] == (4, 3)
    assert list(path.parent.iterdir()) == [path]


def test_equal_content_gives_equal_bytes(tmp_path):
    metadata = {name: name for name in "abcdefghij"}
    for name in ("one", "two", "three"):
        state = tensors()
        state = state if name == "one" else dict(reversed(state.items()))
        weights.save(tmp_path / name, state, metadata if name != "three" else dict(reversed(metadata.items())))
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1


def test_a_replaced_file_is_hashed_again(tmp_path):
    path = tmp_path / "x.safetensors"
    hashes = []
    for seed in range(5):
        weights.save(path, tensors(seed), {})
        hashes.append(weights.sha256(path))
        assert hashes[-1] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(set(hashes)) == 5


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    weights.save(path, tensors(), {})
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WeightsError, match=r"x\.safetensors: no space left"):
        weights.save(path, tensors(1), {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _header(content, body=b""):
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + body


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        (1 << 60).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{",
        _header([]),
        _header({"a": 3}),
        _header({"a": {"dtype": "F32", "shape": [1]}}),
        _header({"a": ENTRY}, b"123"),
        _header({"a": ENTRY}, b"12345"),
        _header({"a": {**ENTRY, "shape": ["x"]}}, b"1234"),
        _header({"a": {**ENTRY, "dtype": "F99"}}, b"1234"),
        _header({"__metadata__": 3, "a": ENTRY}, b"1234"),
        (6000).to_bytes(8, "little") + b"[" * 6000,
        b"\x80\x02}q\x00." * 40,
    ],
)
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"bad\.safetensors is damaged"):
        weights.load(path)


def test_a_file_cut_short_stops_the_lookup(mine):
    path = put(mine, "published", "x4")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match=r"x4\.safetensors is damaged"):
        found()


def test_absent_files_are_named(tmp_path):
    for read in (weights.load, weights.read_header, weights.sha256):
        with pytest.raises(WeightsError, match=r"gone.*cannot be read"):
            read(tmp_path / "gone")

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from rescale_bench.api.metrics import AnyMetric, MetricFile, torch_home
from rescale_bench.errors import UnavailableError
from rescale_bench.metrics.lpips import ALEXNET
from rescale_bench.metrics.needed import prepare_files
from rescale_bench.metrics.niqe import NIQE_PRISTINE

CONTENT = b"weights, say" * 100
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path):
    """Serve one file on the loopback."""
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "file.pth").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/file.pth"
        running.shutdown()
        thread.join()


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Make a metric that needs one file of the given checksum."""
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def declare(url, sha256):
        file = MetricFile("hub/checkpoints/file.pth", url, sha256)
        return AnyMetric(name="toy", summary="", direction="up", version="1", files=(file,))

    return declare


@pytest.mark.parametrize("sha256", [DIGEST, DIGEST[:8]])
def test_fetches_checks_and_does_not_fetch_again(server, toy, sha256):
    metric = toy(server, sha256)
    (file,) = metric.files
    assert "rescale-bench prepare --metrics toy" in metric.problems()[0]
    lines = []
    assert prepare_files(metric.files, lines.append) == [file.location]
    assert file.location.read_bytes() == CONTENT
    assert metric.problems() == []
    assert any("is in place" in line for line in lines)
    assert prepare_files(toy("http://127.0.0.1:1/nothing", sha256).files, lines.append) == [file.location]


@pytest.mark.parametrize("sha256", ["0" * 64, "00000000"])
def test_a_wrong_file_is_refused_and_leaves_nothing(server, toy, sha256):
    (file,) = toy(server, sha256).files
    with pytest.raises(UnavailableError, match="sha256"):
        prepare_files([file], lambda line: None)
    assert not file.location.exists()


def test_a_wrong_file_in_place_is_told(toy):
    (file,) = toy("http://127.0.0.1:1/nothing", DIGEST).files
    file.location.parent.mkdir(parents=True)
    file.location.write_bytes(b"something else")
    with pytest.raises(UnavailableError, match="delete it"):
        prepare_files([file], lambda line: None)
    assert file.location.read_bytes() == b"something else"


def test_offline_says_so(toy, monkeypatch):
    (file,) = toy("http://127.0.0.1:1/nothing", DIGEST).files
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="RESCALE_BENCH_OFFLINE"):
        prepare_files([file], lambda line: None)


def test_the_pinned_checksum_is_that_of_the_release(parity_root):
    content = (parity_root.parent / "iqa" / "niqe_modelparameters.mat").read_bytes()
    assert hashlib.sha256(content).hexdigest() == NIQE_PRISTINE.sha256
    assert ALEXNET.sha256 in ALEXNET.path


@pytest.mark.parametrize(
    "variables",
    [{"TORCH_HOME": "/a/torch"}, {"XDG_CACHE_HOME": "/b"}, {"TORCH_HOME": "~/t"}, {"HOME": "/home/someone"}],
)
def test_home_is_where_torch_hub_looks(monkeypatch, variables):
    import torch

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert torch_home() / "hub" == Path(torch.hub.get_dir())

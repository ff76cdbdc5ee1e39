import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pytest

from rescale_bench.errors import UnavailableError
from rescale_bench.metrics import files
from rescale_bench.metrics.files import (
    ALEXNET,
    NIQE_PRISTINE,
    MetricFile,
    missing_files,
    prepare_metric_files,
    torch_home,
)

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
def known(monkeypatch, tmp_path):
    """Let the metric `toy` need one file of the given checksum."""
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def declare(url, sha256):
        file = MetricFile("hub/checkpoints/file.pth", url, sha256)
        monkeypatch.setattr(files, "FILES", {"toy": (file,)})
        return file

    return declare


@pytest.mark.parametrize("sha256", [DIGEST, DIGEST[:8]])
def test_fetches_checks_and_does_not_fetch_again(server, known, sha256):
    file = known(server, sha256)
    assert "rescale-bench prepare --metrics toy" in missing_files("toy")[0]
    lines = []
    assert prepare_metric_files(["toy", "psnr_y"], lines.append) == [file.location]
    assert file.location.read_bytes() == CONTENT
    assert missing_files("toy") == []
    assert any("is in place" in line for line in lines)
    known("http://127.0.0.1:1/nothing", sha256)
    assert prepare_metric_files(["toy"], lines.append) == [file.location]


@pytest.mark.parametrize("sha256", ["0" * 64, "00000000"])
def test_a_wrong_file_is_refused_and_leaves_nothing(server, known, sha256):
    file = known(server, sha256)
    with pytest.raises(UnavailableError, match="sha256"):
        prepare_metric_files(["toy"], lambda line: None)
    assert not file.location.exists()


def test_a_wrong_file_in_place_is_told(known):
    file = known("http://127.0.0.1:1/nothing", DIGEST)
    file.location.parent.mkdir(parents=True)
    file.location.write_bytes(b"something else")
    with pytest.raises(UnavailableError, match="delete it"):
        prepare_metric_files(["toy"], lambda line: None)
    assert file.location.read_bytes() == b"something else"


def test_offline_says_so(known, monkeypatch):
    known("http://127.0.0.1:1/nothing", DIGEST)
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="RESCALE_BENCH_OFFLINE"):
        prepare_metric_files(["toy"], lambda line: None)


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

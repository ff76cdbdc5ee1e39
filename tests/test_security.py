"""What must not happen, tried through the real commands: code in data, escapes from folders, bombs, plain http."""

import ast
import gzip
import hashlib
import http.server
import io
import json
import os
import pickle
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from pathlib import Path

import kept_run
import pandas as pd
import pytest
import torch
import toys

from rescale_bench.api.records import MetricFile
from rescale_bench.checks import read_pictures
from rescale_bench.cli import main
from rescale_bench.errors import RescaleBenchError
from rescale_bench.report.source import read_source
from rescale_bench.report.subjects import find_subjects
from rescale_bench.runs.folder import read_table
from rescale_bench.training.checkpoint import load_checkpoint
from rescale_bench.training.losses import load_features, vgg_path
from rescale_bench.weights import downloads

ROOT = Path(__file__).parents[1]
SHIPPED = [
    path for folder in ("rescale_bench", "plugins", "benchmarks", "results") for path in (ROOT / folder).rglob("*.py")
]


def refused(capfd, arguments, *says, code=2):
    """Run a command that must end with a code and with one line on stderr."""
    assert main([str(one) for one in arguments]) == code
    error = capfd.readouterr().err
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1, error
    for text in says:
        assert text in error


# --- no code in data: what the source never calls ---------------------------------

FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "torch.hub.load"),
    *("subprocess.getstatusoutput", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.load", "marshal.loads"),
    *("shelve.open", "joblib.load", "pd.read_pickle", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
    *("shutil.unpack_archive", "Markup", "torch.hub.load_state_dict_from_url", "torch.jit.load", "os.execvp"),
}
OWN_PIPE = {"rescale_bench/runner/guard.py"}
"""Speaks pickle with the child process that it started itself, over a pipe that nobody else holds."""

WRITES_PYTHON = {"rescale_bench/scaffold/__init__.py"}
"""Its templates are source text, not HTML."""


def problems(source, name="sample.py"):
    """List the calls of a source text that could run what a file holds."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("torch", "pickle", "yaml", "marshal"):
            found += [f"from {node.module} import {one.name}" for one in node.names if one.name in ("load", "loads")]
        if not isinstance(node, ast.Call):
            continue
        call, keywords = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
        if call in FORBIDDEN and not (call.startswith("pickle.") and name in OWN_PIPE):
            found.append(call)
        if call.endswith((".extractall", ".extract")) and call != "self.extract":
            found.append(call)
        if call == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if call == "yaml.load" and keywords.get("Loader") not in ("yaml.BaseLoader", "yaml.SafeLoader"):
            found.append("yaml.load with a loader that makes objects")
        html = name not in WRITES_PYTHON and call in ("Environment", "jinja2.Environment")
        if html and keywords.get("autoescape") != "True":
            found.append("jinja2 without autoescape")
        bad = {"shell": "True", "allow_pickle": "True", "verify": "False", "trust_remote_code": "True"}
        found += [f"{call}({key}={value})" for key, value in keywords.items() if bad.get(key) == value]
    return found


def test_the_source_never_runs_what_a_file_holds():
    assert len(SHIPPED) > 150
    found = {str(path.relative_to(ROOT)): problems(path.read_text(), str(path.relative_to(ROOT))) for path in SHIPPED}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)", "torch.load(path, weights_only=False)", "torch.load(path, weights_only=flag)",
        "from torch import load", "pickle.load(file)", "pickle.loads(data)", "yaml.load(text)", "eval(text)",
        "yaml.load(text, Loader=yaml.Loader)", "subprocess.run(text, shell=True)", "os.system(text)",
        "np.load(path, allow_pickle=True)", "archive.extractall(folder)", "requests.get(url, verify=False)",
        "Environment(loader=loader)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(source):
    assert len(problems(source)) == 1


def test_templates_mark_only_our_own_markup_as_safe():
    found = [
        match
        for path in (ROOT / "rescale_bench").rglob("*.j2")
        for match in re.findall(r"[\w.]+\s*\|\s*safe\b|autoescape", path.read_text())
    ]
    assert sorted(found) == ["chart.svg|safe", "script|safe", "style|safe"]


def test_no_address_is_plain_http():
    named = [(path.name, url) for path in SHIPPED for url in re.findall(r"http://[\w.-]+", path.read_text())]
    assert {url for _, url in named} <= {"http://www.w3.org"}  # the name of SVG's links, never fetched


# --- no code in data: weights -----------------------------------------------------


class Trap:
    """A pickle that makes a file while it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("form", ["torch", "legacy", "pickle"])
def test_weights_that_run_code_are_refused_wherever_weights_are_read(tmp_path, capfd, form):
    marker, source = tmp_path / "ran", tmp_path / "IRN_x4.pth"
    content = {"weight": torch.zeros(2), "more": Trap(marker)}
    if form == "pickle":
        source.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, source, _use_new_zipfile_serialization=form == "torch")
    refused(capfd, ["weights", "import", "irn", "x4", source], str(source), "weights_only")
    vgg_path().parent.mkdir(parents=True, exist_ok=True)
    vgg_path().write_bytes(source.read_bytes())
    for read in (load_features, lambda: load_checkpoint(source)):
        with pytest.raises(RescaleBenchError):
            read()
    assert not marker.exists()
    if form == "pickle":
        pickle.loads(source.read_bytes())  # the trap is a live one
        assert marker.exists()


def test_a_checkpoint_that_unpacks_to_a_gigabyte_is_refused_unread(tmp_path, capfd):
    source, plain = tmp_path / "bomb.pth", io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, plain)
    with zipfile.ZipFile(plain) as good, zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as bomb:
        for entry in good.infolist():
            bomb.writestr(entry.filename, good.read(entry))
        with bomb.open("archive/data/1", "w", force_zip64=True) as file:
            for _ in range(64):
                file.write(bytes(2**20))
    refused(capfd, ["weights", "import", "irn", "x4", source], str(source), "would unpack to 67")


# --- archives stay in their folder --------------------------------------------------


def slip(name):
    def make(path, marker):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("0801.png", b"fine")
            archive.writestr(name.format(marker=marker), b"evil")

    return make


def link(kind, target):
    def make(path, marker):
        with tarfile.open(path, "w:gz") as archive:
            first = tarfile.TarInfo("out")
            first.type, first.linkname = kind, target.format(folder=marker.parent)
            archive.addfile(first)
            second = tarfile.TarInfo(f"out/{marker.name}")
            second.size = 4
            archive.addfile(second, io.BytesIO(b"evil"))

    return make


def zipped_link(path, marker):
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("out")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, str(marker.parent))
        archive.writestr(f"out/{marker.name}", b"evil")


@pytest.mark.parametrize(
    "make",
    [
        slip("../../../{marker.name}"), slip("{marker}"), slip("a/../../../../{marker.name}"),
        slip("..\\{marker.name}"), slip("C:\\{marker.name}"), zipped_link,
        link(tarfile.SYMTYPE, "{folder}"), link(tarfile.LNKTYPE, "../../.."),
    ],
)  # fmt: skip
def test_archives_never_leave_their_folder(home, tmp_path, monkeypatch, capfd, make):
    monkeypatch.setenv("RESCALE_BENCH_DATA", "")
    archive, marker = home / "cache" / "downloads" / "DIV2K_valid_HR.zip", home / "evil.txt"
    archive.parent.mkdir(parents=True)
    make(archive, marker)
    before = sorted(home.rglob("*"))
    assert main(["prepare", "-d", "DIV2K-val"]) == 2
    assert "refused" in capfd.readouterr().err
    assert [path for path in sorted(home.rglob("*")) if path not in before] in ([], [home / "cache" / "datasets"])


def test_archives_that_unpack_to_too_much_leave_nothing(home, monkeypatch, capfd):
    monkeypatch.setenv("RESCALE_BENCH_DATA", "")
    monkeypatch.setenv("RESCALE_BENCH_MAX_BYTES", "1000000")
    archive = home / "cache" / "downloads" / "DIV2K_valid_HR.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0801.png", bytes(5_000_000))
    assert main(["prepare", "-d", "DIV2K-val"]) == 2
    assert "more than 1000000 bytes unpacked (raise RESCALE_BENCH_MAX_BYTES)" in capfd.readouterr().err
    assert list((home / "cache" / "datasets").iterdir()) == []


# --- downloads ----------------------------------------------------------------------


class Server(http.server.BaseHTTPRequestHandler):
    """Answer everything with the same file, its length stated or not."""

    content = b"file of a metric" * 1000
    stated = True

    def do_GET(self):
        self.send_response(200)
        if self.stated:
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def needs(tmp_path, monkeypatch):
    """Make a plugin whose metric needs a file from the loopback; give back how to declare its checksum."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def declare(sha256=hashlib.sha256(Server.content).hexdigest()):
        file = MetricFile("hub/file.pth", f"http://127.0.0.1:{server.server_port}/file.pth", sha256)
        (tmp_path / "plugin.py").write_text(
            "from rescale_bench import Metric, MetricFile, hookimpl\n"
            "@hookimpl\n"
            "def rescale_bench_metrics():\n"
            f"    yield Metric(name='mine', summary='', direction='up', judges='hr', version='1', files=({file!r},),\n"
            "        measure=lambda sample, options: 1.0)\n"
        )
        monkeypatch.setenv("RESCALE_BENCH_PLUGINS", str(tmp_path / "plugin.py"))
        return file.location

    yield declare
    server.shutdown()
    thread.join()
    server.server_close()


PREPARE = ["prepare", "--metrics", "mine"]


def test_plain_http_is_refused_even_from_this_machine_unless_a_test_asks(needs, monkeypatch, capfd):
    target = needs()
    refused(capfd, PREPARE, "only https addresses are fetched")
    assert not target.exists()
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    assert main(PREPARE) == 0
    assert target.read_bytes() == Server.content


def test_a_download_with_another_checksum_is_thrown_away(needs, monkeypatch, capfd):
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    target = needs("0" * 64)
    refused(capfd, PREPARE, "sha256", "0" * 64)
    assert [path.name for path in target.parent.iterdir()] == []


@pytest.mark.parametrize("stated", [True, False])
def test_a_download_has_a_largest_size(needs, monkeypatch, capfd, stated):
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    monkeypatch.setenv("RESCALE_BENCH_MAX_BYTES", "1000")
    monkeypatch.setattr(Server, "stated", stated)
    target = needs()
    refused(capfd, PREPARE, "is larger than 1000 bytes (raise RESCALE_BENCH_MAX_BYTES)")
    assert sum(path.stat().st_size for path in target.parent.iterdir()) <= 1000


# --- images and tables that are larger than they look ---------------------------------


def png(width, height, *chunks):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = [chunk(*one) for one in chunks] or [chunk(b"IDAT", zlib.compress(bytes(1000)))]
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *rest, chunk(b"IEND", b"")))


def test_decompression_bombs_are_rows_that_failed(tmp_path, monkeypatch, capfd):
    data = toys.picture_folder(tmp_path / "data", count=1)
    (data / "huge.png").write_bytes(png(60_000, 60_000))
    (data / "over.png").write_bytes(png(1001, 1000, (b"IDAT", zlib.compress(bytes(1000 * 3004)))))
    text = b"note\0\0" + zlib.compress(bytes(200_000_000), 9)
    (data / "text.png").write_bytes(png(64, 64, (b"zTXt", text), (b"IDAT", zlib.compress(bytes(64 * 193)))))
    (data / "huge.bmp").write_bytes(b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 50_000, 50_000, 1, 24,
                                                        0, 0, 0, 0, 0, 0) + bytes(16))  # fmt: skip
    monkeypatch.setenv("RESCALE_BENCH_MAX_PIXELS", "1000000")
    run = ["run", "-m", "bicubic", "-s", "2", "--metrics", "psnr_y", "--threads", "1", "-q", "-o", tmp_path / "run"]
    assert main([*map(str, run), "-d", str(data)]) == 1
    error = capfd.readouterr().err
    assert "huge.png: 60000×60000 is over the limit of 1000000 pixels (raise RESCALE_BENCH_MAX_PIXELS)" in error
    assert "over.png: 1001×1000 is over" in error
    assert "huge.bmp: 50000×50000 is over" in error
    assert "text.png: truncated or damaged" in error
    rows = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    assert sorted(row["status"] for row in rows) == ["failed"] * 4 + ["ok"]


def test_tables_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("RESCALE_BENCH_MAX_TABLE_BYTES", "1000000")
    packed = tmp_path / "rows.csv.gz"
    with gzip.open(packed, "wb") as file:
        file.write(bytes(2_000_000))
    columns = dict.fromkeys(("method", "dataset", "image", "scale", "metric", "status"), "a")
    pd.DataFrame({**columns, "value": [0.0] * 100_000}).to_parquet(tmp_path / "rows.parquet")
    assert (tmp_path / "rows.parquet").stat().st_size < 10_000
    for name in ("rows.csv.gz", "rows.parquet"):
        path = tmp_path / name
        refused(
            capfd, ["table", "-i", path], str(path), "more than 1000000 bytes (raise RESCALE_BENCH_MAX_TABLE_BYTES)"
        )


@pytest.mark.parametrize("variable", ["RESCALE_BENCH_MAX_BYTES", "RESCALE_BENCH_MAX_TABLE_BYTES"])
def test_a_limit_that_is_no_number(tmp_path, monkeypatch, capfd, variable):
    monkeypatch.setenv(variable, "32GB")
    with pytest.raises(RescaleBenchError, match=f"{variable}='32GB' is not a number of bytes above 0"):
        downloads.limit_of(variable)


# --- runs by somebody else ------------------------------------------------------------


def test_a_run_does_not_lead_to_other_files(tmp_path, capfd):
    run = kept_run.make_run(tmp_path / "run", images=("one",), scales=("2",))
    picture = next((run / "outputs").glob("*-hr.png"))
    for part in ("hr", "lr", "sr"):
        (tmp_path / f"secret-{part}.png").write_bytes(picture.read_bytes())
    linked = run / "outputs" / "link-hr.png"
    linked.symlink_to(tmp_path / "secret-hr.png")
    lines = (run / "journal.jsonl").read_text().splitlines()
    bad = {**json.loads(lines[0]), "cell": "../../secret", "image": "secret"}
    (run / "journal.jsonl").write_text("\n".join([*lines, json.dumps(bad)]) + "\n")
    frame = read_table(run)
    source = read_source(run, frame)
    shown = find_subjects(source.rows, source.run.outputs)
    assert [subject.image for subject in shown.subjects] == ["one"]
    pictures = read_pictures(run, frame)
    for key, cells in pictures.cells.items():
        assert pictures.missing(key) == ("secret" in cells)
    other = kept_run.make_run(tmp_path / "other", images=("two",), scales=("3",))
    code = main(["merge", str(run), str(other), "--prefer", "first", "-o", str(tmp_path / "both")])
    assert code == 0, capfd.readouterr().err
    copied = {path.name for path in (tmp_path / "both" / "outputs").iterdir()}
    assert linked.name not in copied
    assert picture.name in copied

"""Downloads against a real HTTP server on the loopback, and archives that try to escape."""

import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
import zipfile
from pathlib import Path

import platformdirs
import pytest

from rescale_bench.errors import ImageError, UnavailableError, UsageError
from rescale_bench.weights import downloads
from rescale_bench.weights.downloads import cache_folder, extract, fetch, fetch_accepted, file_sha256, is_offline

BODY = bytes(range(256)) * 2048  # eight chunks
SHA = hashlib.sha256(BODY).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve `server.files`, with ranges; misbehave as `server.tricks` (one per request) say."""

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range"))
        trick = server.tricks.pop(0) if server.tricks else ""
        body = server.files.get(self.path)
        if trick.isdigit():
            return self.answer(int(trick))
        if trick.startswith("http"):
            return self.answer(302, {"Location": trick})
        if body is None:
            return self.answer(404)
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        headers = {}
        if asked and trick != "no ranges":
            start = int(asked[1])
            if start >= len(body):
                return self.answer(416, {"Content-Range": f"bytes */{len(body)}"})
            first = start + 7 if trick == "wrong range" else start
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        part = body[start:]
        headers["Content-Length"] = str(len(part))
        self.answer(206 if "Content-Range" in headers else 200, headers)
        self.wfile.write(part[: len(part) // 2] if trick == "cut" else part)
        if trick == "cut":
            self.close_connection = True
        return None

    def answer(self, status, headers=()):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0)
    monkeypatch.delenv("RESCALE_BENCH_OFFLINE", raising=False)
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.files, made.tricks, made.ranges = {"/body.bin": BODY}, [], []
    made.url = f"http://127.0.0.1:{made.server_port}/body.bin"
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "deep" / "body.bin"


def left(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_plain_download(server, target, capfd):
    lines = []
    assert fetch(server.url, SHA.upper(), target, lines.append) == target
    assert target.read_bytes() == BODY
    assert left(target) == ["body.bin"]
    assert fetch(server.url, SHA, target) == target
    assert server.ranges == [None]  # the second call found it
    assert lines == []
    assert capfd.readouterr() == ("", "")  # no bar and no log where stderr is no terminal


def test_a_cut_connection_resumes_within_one_call(server, target):
    server.tricks = ["cut", "cut"]
    lines = []
    fetch(server.url, SHA, target, lines.append)
    half, more = len(BODY) // 2, len(BODY) // 2 + len(BODY) // 4
    assert server.ranges == [None, f"bytes={half}-", f"bytes={more}-"]
    assert target.read_bytes() == BODY
    assert any(f"resuming at byte {half}" in line for line in lines)
    assert left(target) == ["body.bin"]


def test_an_interrupted_call_resumes_in_the_next(server, target, monkeypatch):
    monkeypatch.setattr(downloads, "ATTEMPTS", 1)
    server.tricks = ["cut"]
    with pytest.raises(UnavailableError, match="run the same command again to resume"):
        fetch(server.url, SHA, target)
    assert left(target) == ["body.bin.part"]
    assert (target.parent / "body.bin.part").read_bytes() == BODY[: len(BODY) // 2]
    fetch(server.url, SHA, target)
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-"]
    assert target.read_bytes() == BODY


def test_a_part_that_is_whole_is_taken(server, target):
    target.parent.mkdir()
    (target.parent / "body.bin.part").write_bytes(BODY)
    fetch(server.url, SHA, target)
    assert server.ranges == [f"bytes={len(BODY)}-"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("trick", ["no ranges", "wrong range", "503", ""])
def test_servers_that_cannot_resume(server, target, trick):
    target.parent.mkdir()
    (target.parent / "body.bin.part").write_bytes(BODY[:1000])
    server.tricks = [trick]
    fetch(server.url, SHA, target)
    assert target.read_bytes() == BODY
    assert server.ranges[0] == "bytes=1000-"


@pytest.mark.parametrize("stale", [b"another file" * 10, BODY + b"tail"])
def test_a_stale_part_is_fetched_again_from_its_beginning(server, target, stale):
    target.parent.mkdir()
    (target.parent / "body.bin.part").write_bytes(stale)
    fetch(server.url, SHA, target)
    assert target.read_bytes() == BODY
    assert server.ranges == [f"bytes={len(stale)}-", None]


def test_a_wrong_checksum_leaves_nothing(server, target):
    with pytest.raises(UnavailableError, match=f"checksum {SHA}, expected {'0' * 64}"):
        fetch(server.url, "0" * 64, target)
    assert left(target) == []
    target.write_bytes(b"older")
    with pytest.raises(UnavailableError):
        fetch(server.url, "0" * 64, target)
    assert target.read_bytes() == b"older"
    fetch(server.url, SHA, target)
    assert target.read_bytes() == BODY


def test_content_can_be_the_check(server, target):
    def refuse(path):
        raise ImageError(f"{path.read_bytes()[:1]!r} is no picture")

    with pytest.raises(ImageError, match="no picture"):
        fetch_accepted(server.url, refuse, target)
    assert left(target) == []
    seen = []
    fetch_accepted(server.url, lambda path: seen.append(path.read_bytes()), target)
    assert seen == [BODY]
    assert target.read_bytes() == BODY


def test_refusals_of_the_server(server, target, monkeypatch):
    with pytest.raises(UnavailableError, match="404"):
        fetch(server.url + "x", SHA, target)
    assert len(server.ranges) == 1  # asking again would not help
    server.tricks = ["500"] * 9
    with pytest.raises(UnavailableError, match="500"):
        fetch(server.url, SHA, target)
    assert len(server.ranges) == 1 + downloads.ATTEMPTS
    server.tricks = []
    server.shutdown()
    server.server_close()
    with pytest.raises(UnavailableError, match="no connection"):
        fetch(server.url, SHA, target)


def test_redirects(server, target):
    server.files["/moved.bin"] = BODY
    server.tricks = [server.url.replace("body", "moved")]
    fetch(server.url, SHA, target)
    assert target.read_bytes() == BODY
    target.unlink()
    server.tricks = ["http://example.org/body.bin"]
    with pytest.raises(UsageError, match="only https"):
        fetch(server.url, SHA, target)
    server.tricks = [server.url] * 20
    with pytest.raises(UnavailableError, match="redirects"):
        fetch(server.url, SHA, target)


@pytest.mark.parametrize("url", ["http://example.org/a", "ftp://127.0.0.1/a", "file:///etc/passwd", "a", "https:///a"])
def test_only_https_leaves_the_machine(target, url):
    with pytest.raises(UsageError, match="only https"):
        fetch(url, SHA, target)


@pytest.mark.parametrize("sha", ["", "abc", "g" * 64, SHA + "0"])
def test_a_checksum_is_mandatory(target, sha):
    with pytest.raises(UsageError, match="SHA-256"):
        fetch("https://example.org/a", sha, target)


def test_offline(server, target, monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    with pytest.raises(UnavailableError, match=f"put the file at {target}"):
        fetch(server.url, SHA, target)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(BODY)
    assert fetch(server.url, SHA, target) == target
    assert server.ranges == []
    for text, meant in (("0", False), ("", False), ("no", False), ("yes", True)):
        monkeypatch.setenv("RESCALE_BENCH_OFFLINE", text)
        assert is_offline() is meant


def test_a_full_or_forbidden_disk_is_one_line(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        fetch(server.url, SHA, tmp_path / "file" / "body.bin")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RESCALE_BENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RESCALE_BENCH_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("rescale-bench"))


def test_file_sha256(tmp_path):
    (tmp_path / "a").write_bytes(BODY)
    assert file_sha256(tmp_path / "a") == SHA


# --- archives -------------------------------------------------------------------


def zipped(path, entries, mode=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode:
                info.external_attr = mode << 16
            archive.writestr(info, body)
    return path


def tarred(path, entries, how="w:gz", kind=tarfile.REGTYPE, link=""):
    with tarfile.open(path, how) as archive:
        for name, body in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


GOOD = [("set/a.png", b"A" * 100_000), ("./set/deep/b.png", b"B"), ("c.txt", b"")]


@pytest.mark.parametrize("kind", ["zip", "w:gz", "w:xz", "w:bz2", "w"])
def test_extract(tmp_path, kind):
    path = tmp_path / "archive"
    zipped(path, [("set/", b""), *GOOD]) if kind == "zip" else tarred(path, GOOD, kind)
    folder = tmp_path / "out" / "here"
    assert extract(path, folder) == folder
    for name, body in GOOD:
        assert (folder / name).read_bytes() == body
    assert [entry.name for entry in folder.parent.iterdir()] == ["here"]
    with pytest.raises(UsageError, match="is in use"):
        extract(path, folder)


def nothing_escaped(tmp_path, archive):
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [archive.name]


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "a\\..\\..\\evil", "new\nline"]
)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_names_that_leave_the_folder(tmp_path, name, make):
    path = make(tmp_path / "archive", [("good", b"1"), (name, b"evil")])
    with pytest.raises(UnavailableError, match="leaves the folder"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_tar(tmp_path, kind):
    path = tarred(tmp_path / "archive", [("x", b"")], kind=kind, link="/etc/passwd")
    with pytest.raises(UnavailableError, match="'x' is a link or device"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


def test_links_in_zip(tmp_path):
    path = zipped(tmp_path / "archive", [("x", b"/etc/passwd")], mode=0o120777)
    with pytest.raises(UnavailableError, match="'x' is a link or device"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_bombs(tmp_path, make):
    path = make(tmp_path / "archive", [("zeros", bytes(3_000_000))])
    with pytest.raises(UnavailableError, match="more than 1000000 bytes"):
        extract(path, tmp_path / "out", max_bytes=1_000_000)
    nothing_escaped(tmp_path, path)
    path = make(tmp_path / "archive", [(str(number), b"") for number in range(11)])
    with pytest.raises(UnavailableError, match="more than 10 entries"):
        extract(path, tmp_path / "out", max_files=10)
    nothing_escaped(tmp_path, path)


@pytest.mark.parametrize("make", [zipped, tarred])
def test_damaged_archives(tmp_path, make):
    path = make(tmp_path / "archive", [("a", os.urandom(200_000)), ("b", b"2")])
    whole = path.read_bytes()
    path.write_bytes(whole[:50_000])
    with pytest.raises(UnavailableError, match=r"archive: (cannot be unpacked|is neither)"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)
    path.write_bytes(whole[:90_000] + b"????" + whole[90_004:])
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


def test_no_archive_at_all(tmp_path):
    (tmp_path / "page.html").write_text("<html>please log in</html>")
    with pytest.raises(UnavailableError, match="neither a zip nor a tar"):
        extract(tmp_path / "page.html", tmp_path / "out")
    with pytest.raises(UnavailableError, match="no such archive"):
        extract(tmp_path / "none.zip", tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(tmp_path):
    path = zipped(tmp_path / "archive", [("a", b"1"), ("a", b"2")])
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")

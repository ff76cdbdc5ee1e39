"""Downloads against a real HTTP server on the loopback, and archives that try to escape."""

import http.server
import io
import os
import stat
import threading
import zipfile
from pathlib import Path

import platformdirs
import pytest

from rescale_bench.errors import ImageError, UnavailableError, UsageError
from rescale_bench.weights import downloads
from rescale_bench.weights.downloads import cache_folder, extract, fetch, is_offline

BODY = bytes(range(256)) * 2048  # eight chunks


class Handler(http.server.BaseHTTPRequestHandler):
    """Serve `server.files`; misbehave as `server.tricks` (one per request) say."""

    def do_GET(self):
        server = self.server
        server.asked += 1
        trick = server.tricks.pop(0) if server.tricks else ""
        body = server.files.get(self.path)
        if trick.isdigit():
            return self.answer(int(trick))
        if trick.startswith("http"):
            return self.answer(302, {"Location": trick})
        if body is None:
            return self.answer(404)
        self.answer(200, {"Content-Length": str(len(body))})
        self.wfile.write(body[: len(body) // 2] if trick == "cut" else body)
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
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    monkeypatch.delenv("RESCALE_BENCH_OFFLINE", raising=False)
    monkeypatch.setenv("RESCALE_BENCH_HTTP_LOOPBACK", "1")
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.files, made.tricks, made.asked = {"/body.bin": BODY}, [], 0
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


def right(path):
    if path.read_bytes() != BODY:
        raise UnavailableError("not the file")


def test_a_plain_download(server, target, capfd):
    assert fetch(server.url, right, target) == target
    assert target.read_bytes() == BODY
    assert left(target) == ["body.bin"]
    assert capfd.readouterr() == ("", "")  # no bar and no log where stderr is no terminal


def test_a_broken_transfer_begins_again(server, target):
    server.tricks = ["cut", "503", "429"]
    fetch(server.url, right, target)
    assert target.read_bytes() == BODY
    assert left(target) == ["body.bin"]
    assert server.asked == 4


def test_a_transfer_that_stays_broken_leaves_nothing(server, target):
    server.tricks = ["cut"] * 9
    with pytest.raises(UnavailableError, match=r"broken one .*; run the same command again"):
        fetch(server.url, right, target)
    assert server.asked == 1 + downloads.RETRIES
    assert left(target) == []


def test_what_is_refused_leaves_the_older_file(server, target):
    def refuse(path):
        raise ImageError(f"{path.read_bytes()[:1]!r} is no picture")

    with pytest.raises(ImageError, match="no picture"):
        fetch(server.url, refuse, target)
    assert left(target) == []
    target.write_bytes(b"older")
    with pytest.raises(ImageError):
        fetch(server.url, refuse, target)
    assert target.read_bytes() == b"older"
    fetch(server.url, right, target)
    assert target.read_bytes() == BODY
    assert server.asked == 3


def test_refusals_of_the_server(server, target):
    with pytest.raises(UnavailableError, match="the server answered 404 Not Found"):
        fetch(server.url + "x", right, target)
    assert server.asked == 1  # asking again would not help
    server.tricks = ["500"] * 9
    with pytest.raises(UnavailableError, match="500"):
        fetch(server.url, right, target)
    assert server.asked == 2 + downloads.RETRIES
    server.tricks = []
    server.shutdown()
    server.server_close()
    with pytest.raises(UnavailableError, match="no connection"):
        fetch(server.url, right, target)


def test_redirects(server, target):
    server.files["/moved.bin"] = BODY
    server.tricks = [server.url.replace("body", "moved")]
    fetch(server.url, right, target)
    assert target.read_bytes() == BODY
    target.unlink()
    server.tricks = ["http://example.org/body.bin"]
    with pytest.raises(UsageError, match="only https"):
        fetch(server.url, right, target)
    server.tricks = [server.url] * 200
    with pytest.raises(UnavailableError, match="TooManyRedirects"):
        fetch(server.url, right, target)


@pytest.mark.parametrize("url", ["http://example.org/a", "ftp://127.0.0.1/a", "file:///etc/passwd", "a", "https:///a"])
def test_only_https_leaves_the_machine(target, url):
    with pytest.raises(UsageError, match="only https"):
        fetch(url, right, target)


@pytest.mark.parametrize("variables", ["http_proxy", "HTTP_PROXY"])
def test_no_proxy_is_asked_for_this_machine(server, target, monkeypatch, variables):
    monkeypatch.setenv(variables, "http://127.0.0.1:1")
    assert fetch(server.url, right, target).read_bytes() == BODY


def test_a_bar_shows_the_transfer_on_a_terminal(server, target, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    fetch(server.url, right, target)
    assert "body.bin" in downloads.sys.stderr.getvalue()


def test_offline(server, target, monkeypatch):
    monkeypatch.setenv("RESCALE_BENCH_OFFLINE", "1")
    with pytest.raises(UnavailableError, match=f"put the file at {target}"):
        fetch(server.url, right, target)
    assert server.asked == 0
    for text, meant in (("0", False), ("", False), ("no", False), ("yes", True)):
        monkeypatch.setenv("RESCALE_BENCH_OFFLINE", text)
        assert is_offline() is meant


def test_a_full_or_forbidden_disk_is_one_line(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        fetch(server.url, right, tmp_path / "file" / "body.bin")


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RESCALE_BENCH_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RESCALE_BENCH_CACHE")
    assert cache_folder() == Path(platformdirs.user_cache_dir("rescale-bench"))


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


GOOD = [("set/a.png", b"A" * 100_000), ("./set/deep/b.png", b"B"), ("c.txt", b"")]


def test_extract(tmp_path):
    path = zipped(tmp_path / "archive", [("set/", b""), *GOOD])
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
def test_names_that_leave_the_folder(tmp_path, name):
    path = zipped(tmp_path / "archive", [("good", b"1"), (name, b"evil")])
    with pytest.raises(UnavailableError, match="leaves the folder"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO])
def test_links_and_devices(tmp_path, kind):
    path = zipped(tmp_path / "archive", [("x", b"/etc/passwd")], mode=kind | 0o777)
    with pytest.raises(UnavailableError, match="'x' is a link or device"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


def test_bombs(tmp_path):
    path = zipped(tmp_path / "archive", [("zeros", bytes(3_000_000))])
    with pytest.raises(UnavailableError, match="more than 1000000 bytes"):
        extract(path, tmp_path / "out", max_bytes=1_000_000)
    nothing_escaped(tmp_path, path)
    path = zipped(tmp_path / "archive", [(str(number), b"") for number in range(11)])
    with pytest.raises(UnavailableError, match="more than 10 entries"):
        extract(path, tmp_path / "out", max_files=10)
    nothing_escaped(tmp_path, path)


def test_damaged_archives(tmp_path):
    path = zipped(tmp_path / "archive", [("a", os.urandom(200_000)), ("b", b"2")])
    whole = path.read_bytes()
    path.write_bytes(whole[:50_000])
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)
    path.write_bytes(whole[:90_000] + b"????" + whole[90_004:])
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")
    nothing_escaped(tmp_path, path)


def test_no_archive_at_all(tmp_path):
    (tmp_path / "page.html").write_text("<html>please log in</html>")
    with pytest.raises(UnavailableError, match="not a zip file"):
        extract(tmp_path / "page.html", tmp_path / "out")
    with pytest.raises(UnavailableError, match="No such file"):
        extract(tmp_path / "none.zip", tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name(tmp_path):
    path = zipped(tmp_path / "archive", [("a", b"1"), ("a", b"2")])
    with pytest.raises(UnavailableError, match="cannot be unpacked"):
        extract(path, tmp_path / "out")

"""Files from the network, fetched by pooch over https alone and taken only after a check; zip archives unpacked."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import stat
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from rescale_bench.errors import UnavailableError, UsageError
from rescale_bench.machine.limits import BYTES_VARIABLE, limit_of

if TYPE_CHECKING:
    import requests

CACHE_VARIABLE, OFFLINE_VARIABLE = "RESCALE_BENCH_CACHE", "RESCALE_BENCH_OFFLINE"
LOOPBACK_VARIABLE = "RESCALE_BENCH_HTTP_LOOPBACK"
"""Set to 1 by tests whose server is this machine itself."""
RETRIES, TIMEOUT_SECONDS = 3, (10.0, 60.0)
CHUNK_BYTES = 2**16
MAX_UNPACKED_FILES = 200_000
TRY_AGAIN = (408, 429)
"""Refusals below 500 that may be over a second later: request timeout, too many requests (RFC 9110, RFC 6585)."""


def cache_folder() -> Path:
    """Locate the cache: RESCALE_BENCH_CACHE, or the platform's user cache folder. It may not exist yet."""
    given = os.environ.get(CACHE_VARIABLE, "").strip()
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("rescale-bench"))


def is_offline() -> bool:
    """Tell whether RESCALE_BENCH_OFFLINE forbids the network ("", "0", "false" and "no" do not)."""
    return _is_set(OFFLINE_VARIABLE)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no")


def fetch(url: str, accept: Callable[[Path], None], target: Path) -> Path:
    """Bring a file to target after accept has looked at it; accept raises a RescaleBenchError to refuse.

    A transfer that breaks is begun again, RETRIES times. What is refused or incomplete leaves nothing, and an older
    file stays as it was. Raises UsageError for a URL that is not https (http is for tests on the loopback), and
    UnavailableError, saying what to do, when offline, when the server fails, or beyond RESCALE_BENCH_MAX_BYTES.
    """
    import pooch
    import requests

    _check_url(url)
    if is_offline():
        raise UnavailableError(
            f"{OFFLINE_VARIABLE} is set: not fetching {url}; unset it, or put the file at {target} yourself"
        )
    unchecked = target.with_name(f"{target.name}.unchecked")
    source = pooch.create(target.parent, "", registry={unchecked.name: None}, urls={unchecked.name: url},
                          retry_if_failed=RETRIES)  # fmt: skip
    pooch.get_logger().setLevel("WARNING")
    try:
        unchecked.unlink(missing_ok=True)
        with _Meter(url) as meter:
            source.fetch(unchecked.name, downloader=_downloader(url, meter))
        meter.check(unchecked.stat().st_size)
        accept(unchecked)
        unchecked.replace(target)
    except requests.RequestException as error:
        raise UnavailableError(f"{url}: {_reason(error)}; run the same command again") from None
    except OSError as error:
        raise UnavailableError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            unchecked.unlink(missing_ok=True)
    return target


def _downloader(url: str, meter: _Meter) -> Any:
    import pooch

    host = urlsplit(url).hostname or ""
    return pooch.HTTPDownloader(
        progressbar=meter,
        chunk_size=CHUNK_BYTES,
        timeout=TIMEOUT_SECONDS,
        headers={"Accept-Encoding": "identity", "User-Agent": "rescale-bench"},
        hooks={"response": _look_at},
        # A proxy cannot reach our own loopback.
        proxies={"no_proxy": host} if _is_loopback(host) else {},
    )


def _look_at(response: requests.Response, **settings: Any) -> None:
    """Refuse what another attempt would not mend: a redirect away from https, an answer that there is no such file."""
    del settings
    if response.is_redirect:
        _check_url(urljoin(response.url, response.headers["Location"]))
    elif 400 <= response.status_code < 500 and response.status_code not in TRY_AGAIN:
        raise UnavailableError(f"{response.url}: the server answered {response.status_code} {response.reason}")


def _reason(error: requests.RequestException) -> str:
    if error.response is not None and error.response.status_code >= 400:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    return f"no connection or a broken one ({type(error).__name__})"


class _Meter:
    """What pooch tells how far a transfer is: draws a bar on a terminal, and holds the limit on its size."""

    def __init__(self, url: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self.url, self.limit, self.done = url, limit_of(BYTES_VARIABLE), 0
        self.stated = 0
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
        self.task = self.bar.add_task(PurePosixPath(urlsplit(url).path).name, total=None)

    def __enter__(self) -> _Meter:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    @property
    def total(self) -> int:
        """The bytes that the server stated, 0 where it stated none; pooch sets it when a transfer begins."""
        return self.stated

    @total.setter
    def total(self, count: int) -> None:
        self.stated = count
        self.check(count)
        self.reset()
        self.bar.update(self.task, total=count or None)

    def update(self, count: int) -> None:
        """Count bytes, in whole chunks, of which the last one may be shorter."""
        self.done += count
        self.bar.update(self.task, completed=self.done)
        self.check(self.done - CHUNK_BYTES)

    def reset(self) -> None:
        """Begin anew."""
        self.done = 0

    def close(self) -> None:
        """Leave the bar to the end of the context."""

    def check(self, count: int) -> None:
        """Refuse a file of more bytes than the limit. Raises UnavailableError."""
        if count > self.limit:
            raise UnavailableError(f"{self.url}: is larger than {self.limit} bytes (raise {BYTES_VARIABLE})")


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and _is_set(LOOPBACK_VARIABLE) and _is_loopback(parts.hostname or ""):
        return
    raise UsageError(f"{url}: only https addresses are fetched")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- archives -------------------------------------------------------------------


def extract(archive: Path, folder: Path, max_bytes: int | None = None, max_files: int = MAX_UNPACKED_FILES) -> Path:
    """Unpack a zip archive into a new folder, all of it or nothing.

    max_bytes: default RESCALE_BENCH_MAX_BYTES. Raises UsageError where the folder is in use, and UnavailableError
    for a damaged archive, for more than max_bytes or max_files, and for entries that leave the folder or are links
    or devices.
    """
    room = limit_of(BYTES_VARIABLE) if max_bytes is None else max_bytes
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is in use; remove it to unpack {archive.name} again")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be made ({error.strerror})") from None
    try:
        _unpack(archive, temporary, room, max_files)
        temporary.chmod(0o755)  # mkdtemp gives 0700
        temporary.replace(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        # RuntimeError: encrypted, or compressed in a way that Python lacks.
        raise UnavailableError(f"{archive}: refused, cannot be unpacked ({error or type(error).__name__})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack(archive: Path, folder: Path, max_bytes: int, max_files: int) -> None:
    room = max_bytes
    with zipfile.ZipFile(archive) as unzipped:
        for count, entry in enumerate(unzipped.infolist(), start=1):
            if count > max_files:
                raise UnavailableError(f"{archive}: refused, more than {max_files} entries")
            target = folder.joinpath(*_safe_parts(archive, entry))
            if entry.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with unzipped.open(entry) as source, target.open("xb") as file:  # x: two entries of one name are refused
                while chunk := source.read(CHUNK_BYTES):
                    room -= len(chunk)  # what comes out counts, whatever the archive declares
                    if room < 0:
                        raise UnavailableError(
                            f"{archive}: refused, more than {max_bytes} bytes unpacked (raise {BYTES_VARIABLE})"
                        )
                    file.write(chunk)


def _safe_parts(archive: Path, entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """Split an entry's name. Raises UnavailableError for a link, and where it is absolute, climbs out or hides."""
    name, parts = entry.filename, tuple(part for part in PurePosixPath(entry.filename).parts if part != ".")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnavailableError(f"{archive}: refused, '{name}' is a link or device")
    strange = not name.isprintable() or "\\" in name or re.match(r"[A-Za-z]:", name)
    if strange or name.startswith("/") or ".." in parts:
        raise UnavailableError(f"{archive}: refused, entry {name!r} leaves the folder")
    return parts

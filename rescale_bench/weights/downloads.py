"""Files from the network: fetched with a checksum, resumed after a break, unpacked without escapes."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from rescale_bench.errors import RescaleBenchError, UnavailableError, UsageError
from rescale_bench.machine.limits import BYTES_VARIABLE, limit_of

if TYPE_CHECKING:
    import requests

CACHE_VARIABLE, OFFLINE_VARIABLE = "RESCALE_BENCH_CACHE", "RESCALE_BENCH_OFFLINE"
LOOPBACK_VARIABLE = "RESCALE_BENCH_HTTP_LOOPBACK"
"""Set to 1 by tests whose server is this machine itself."""
ATTEMPTS, PAUSE_SECONDS, TIMEOUT_SECONDS, REDIRECTS = 4, 1.0, (10.0, 60.0), 5
CHUNK_BYTES = 2**16
MAX_UNPACKED_FILES = 200_000

Report = Callable[[str], None]
"""Takes progress line by line."""


def quiet(line: str) -> None:
    """Report nothing."""
    del line


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


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(url: str, sha256: str, target: Path, report: Report = quiet) -> Path:
    """Bring a file with a known SHA-256 to target, or leave it there where it is already right.

    An interrupted transfer stays beside target as `<name>.part` and is resumed by the next call.
    Raises UsageError for a URL that is not https (http is for tests on the loopback) or a malformed checksum, and
    UnavailableError, saying what to do, when offline, when the server fails, or when the checksum is wrong.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"{url}: '{sha256}' is not a SHA-256 checksum (64 hexadecimal digits)")
    sha256 = sha256.lower()
    _check_url(url)
    if target.is_file() and file_sha256(target) == sha256:
        return target

    def accept(path: Path) -> None:
        found = file_sha256(path)
        if found != sha256:
            raise UnavailableError(f"{url}: checksum {found}, expected {sha256}; the download was thrown away")

    return fetch_accepted(url, accept, target, report)


def fetch_accepted(url: str, accept: Callable[[Path], None], target: Path, report: Report = quiet) -> Path:
    """Bring a file to target after accept has looked at it; accept raises a RescaleBenchError to refuse.

    For files whose content, not whose bytes, is known. A refused file is thrown away; when it was pieced
    together from an earlier, broken transfer, it is fetched once more from its beginning. Raises as fetch does.
    """
    _check_url(url)
    if is_offline():
        raise UnavailableError(
            f"{OFFLINE_VARIABLE} is set: not fetching {url}; unset it, or put the file at {target} yourself"
        )
    part = target.with_name(f"{target.name}.part")
    resumed = part.exists()
    try:
        _retrieve(url, part, target, accept, report)
    except RescaleBenchError as error:
        if part.exists() or not resumed or isinstance(error, _TransferError):
            raise
        report(f"{target.name}: the resumed download is not right; fetching it once more from its beginning")
        _retrieve(url, part, target, accept, report)
    return target


class _TransferError(UnavailableError):
    """The transfer itself failed; what has arrived is kept for the next attempt."""


def _retrieve(url: str, part: Path, target: Path, accept: Callable[[Path], None], report: Report) -> None:
    """Let pooch run the transfer into `<name>.unchecked`, then check and rename."""
    import pooch

    unchecked = target.with_name(f"{target.name}.unchecked")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        unchecked.unlink(missing_ok=True)
        with _silent(pooch.get_logger()):
            pooch.retrieve(url, None, unchecked.name, unchecked.parent, downloader=_Resuming(part, report))
        accept(unchecked)
        unchecked.replace(target)
    except OSError as error:
        raise _TransferError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):
            unchecked.unlink(missing_ok=True)


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch's remarks about missing checksums off stderr: accept checks instead."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


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


class _BrokenError(Exception):
    """The transfer broke in a way that another attempt may mend."""


@dataclass(frozen=True)
class _Resuming:
    """A pooch downloader that appends to a `.part` file by HTTP Range requests (RFC 9110, section 14)."""

    part: Path
    report: Report

    def __call__(self, url: str, output_file: str | Path, pooch: object, check_only: bool = False) -> bool | None:
        """Download to output_file. Raises UnavailableError after the last attempt, leaving the part file."""
        import requests

        del pooch, check_only
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with requests.Session() as session:
                    # A proxy cannot reach our own loopback.
                    session.trust_env = not _is_loopback(urlsplit(url).hostname or "")
                    self._transfer(session, url)
                break
            except (_BrokenError, requests.RequestException) as error:
                reason = _reason(error)
            if attempt == ATTEMPTS:
                raise _TransferError(f"{url}: {reason}; run the same command again to resume")
            self.report(f"{url}: {reason}; attempt {attempt + 1} of {ATTEMPTS}")
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        self.part.replace(output_file)
        return None

    def _transfer(self, session: requests.Session, url: str) -> None:
        offset = self.part.stat().st_size if self.part.exists() else 0
        with _get(session, url, offset) as response:
            if response.status_code == 416 and _total(response) == offset:
                return  # everything had arrived before the break
            if response.status_code == 416:
                self.part.unlink()
                raise _BrokenError("the server's file has another length than the one begun")
            if response.status_code == 206 and _start(response) != offset:
                raise _BrokenError("the server sent another range than asked for")
            if response.status_code != 206:
                offset = 0
            total = _total(response)
            self._write(response, offset, total)
        size = self.part.stat().st_size
        if total is not None and size != total:
            raise _BrokenError(f"the connection ended after {size} of {total} bytes")

    def _write(self, response: requests.Response, offset: int, total: int | None) -> None:
        from tqdm import tqdm

        limit = limit_of(BYTES_VARIABLE)
        if total is not None and total > limit:
            raise _too_large(response.url, limit)
        if offset:
            self.report(f"{response.url}: resuming at byte {offset}")
        bar = tqdm(
            desc=self.part.stem,
            initial=offset,
            total=total,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            disable=not sys.stderr.isatty(),
        )
        with bar, self.part.open("ab" if offset else "wb") as file:
            for chunk in response.iter_content(CHUNK_BYTES):
                if file.tell() + len(chunk) > limit:  # whatever length the server stated
                    raise _too_large(response.url, limit)
                file.write(chunk)
                bar.update(len(chunk))


def _too_large(url: str, limit: int) -> _TransferError:
    return _TransferError(f"{url}: is larger than {limit} bytes (raise {BYTES_VARIABLE})")


def _get(session: requests.Session, url: str, offset: int) -> requests.Response:
    """Follow redirects by hand, since each stop must be https as well. Raises for refusals of the server."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "rescale-bench"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    for _ in range(REDIRECTS + 1):
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS, allow_redirects=False)
        if not response.is_redirect:
            break
        response.close()
        url = urljoin(url, response.headers["Location"])
        _check_url(url)
    else:
        raise _TransferError(f"{url}: more than {REDIRECTS} redirects")
    status = response.status_code
    if status in (408, 429) or status >= 500:
        response.close()
        raise _BrokenError(f"the server answered {status} {response.reason}")
    if status not in (200, 206, 416):
        response.close()
        raise _TransferError(f"{url}: the server answered {status} {response.reason}")
    return response


def _total(response: requests.Response) -> int | None:
    """Read the whole file's length in bytes from Content-Range or Content-Length, None where unstated."""
    if response.status_code in (206, 416):
        match = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdecimal() and not encoded else None


def _start(response: requests.Response) -> int | None:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, _BrokenError) else f"no connection or a broken one ({type(error).__name__})"


# --- archives -------------------------------------------------------------------


def extract(archive: Path, folder: Path, max_bytes: int | None = None, max_files: int = MAX_UNPACKED_FILES) -> Path:
    """Unpack a zip or tar archive (gz, bz2, xz) into a new folder, all of it or nothing.

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
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        # RuntimeError: encrypted; OSError: also bz2's and gzip's word for damage.
        raise UnavailableError(f"{archive}: cannot be unpacked ({error or type(error).__name__})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpack(archive: Path, folder: Path, max_bytes: int, max_files: int) -> None:
    room = max_bytes
    for count, (name, source) in enumerate(_entries(archive), start=1):
        if count > max_files:
            raise UnavailableError(f"{archive}: refused, more than {max_files} entries")
        target = folder.joinpath(*_safe_parts(archive, name))
        if source is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("xb") as file:  # x: two entries of one name are refused
            while chunk := source.read(CHUNK_BYTES):
                room -= len(chunk)  # what comes out counts, whatever the archive declares
                if room < 0:
                    raise UnavailableError(
                        f"{archive}: refused, more than {max_bytes} bytes unpacked (raise {BYTES_VARIABLE})"
                    )
                file.write(chunk)


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield (name, opened content or None for a folder). Raises UnavailableError for links and devices."""
    if not archive.is_file():
        raise UnavailableError(f"{archive}: no such archive")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as unzipped:
            for info in unzipped.infolist():
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise UnavailableError(f"{archive}: refused, '{info.filename}' is a link or device")
                yield info.filename, None if info.is_dir() else unzipped.open(info)
        return
    try:
        untarred = tarfile.open(archive)  # noqa: SIM115  # closed below
    except tarfile.ReadError:
        raise UnavailableError(f"{archive}: is neither a zip nor a tar archive") from None
    with untarred:
        for member in untarred:
            if not (member.isreg() or member.isdir()):
                raise UnavailableError(f"{archive}: refused, '{member.name}' is a link or device")
            yield member.name, untarred.extractfile(member)
        _read_out(untarred)


def _read_out(untarred: tarfile.TarFile) -> None:
    """Read a compressed tar to its very end: only there stands the checksum of what was read."""
    while untarred.fileobj is not None and untarred.fileobj.read(CHUNK_BYTES):
        pass


def _safe_parts(archive: Path, name: str) -> tuple[str, ...]:
    """Split an entry's name. Raises UnavailableError where it is absolute, climbs out or hides something."""
    parts = tuple(part for part in PurePosixPath(name).parts if part != ".")
    strange = not name.isprintable() or "\\" in name or re.match(r"[A-Za-z]:", name)
    if strange or name.startswith("/") or ".." in parts:
        raise UnavailableError(f"{archive}: refused, entry {name!r} leaves the folder")
    return parts

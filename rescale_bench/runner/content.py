"""Files for workers on other machines, by the hash of their content.

A cell that leaves this machine names its image and weights as `content:<sha256>/<name>`. A worker that has no
file of that hash in its cache asks the process that started the run for it, once; Dask's scheduler carries
none of the bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import RescaleBenchError, UnavailableError
from rescale_bench.runner.cells import Cell
from rescale_bench.runner.setup import Setup
from rescale_bench.weights import downloads
from rescale_bench.weights.files import sha256

if TYPE_CHECKING:
    from distributed import Client

PREFIX = "content:"
Fetch = Callable[[str], bytes]
"""From a hash to the bytes; raises UnavailableError."""


class ContentServer:
    """Hands out the files of a run, from this process straight to each worker that asks."""

    def __init__(self, client: Client) -> None:
        """Listen where the scheduler's machine can reach this one."""
        from distributed.core import Server
        from distributed.utils import get_ip

        self.paths: dict[str, str] = {}
        self.served: Counter[str] = Counter()
        self.client = client
        scheme, _, place = scheduler_address(client).partition("://")
        host = get_ip(place.rpartition(":")[0].strip("[]"))
        self.server = Server({"content": self._content}, connection_args=client.security.get_connection_args("client"))
        listen = client.security.get_listen_args("worker")
        client.sync(self.server.listen, f"{scheme}://[{host}]:0" if ":" in host else f"{scheme}://{host}:0", **listen)

    @property
    def address(self) -> str:
        """Where workers ask."""
        return str(self.server.address)

    def close(self) -> None:
        """Stop listening."""
        self.client.sync(self.server.close)

    def cell(self, cell: Cell) -> Cell:
        """Name a cell's files by their content; an image that cannot be read keeps its path, and fails by it."""
        files = tuple((part, self._offer(path, sha256(Path(path))) if path else "") for part, path in cell.files)
        path = self._offer(cell.path, cell.image_sha256) if cell.image_sha256 else cell.path
        return replace(cell, path=path, files=files)

    def setup(self, setup: Setup) -> Setup:
        """Name a run's plugin files by their content."""
        return replace(setup, plugins=tuple(self._offer(path, sha256(Path(path))) for path in setup.plugins))

    def _offer(self, path: str, digest: str) -> str:
        self.paths[digest] = path
        return f"{PREFIX}{digest}/{Path(path).name}"

    async def _content(self, digest: str) -> Any:
        from distributed.protocol.serialize import to_serialize

        self.served[digest] += 1
        try:
            return {"content": to_serialize(Path(self.paths[digest]).read_bytes())}
        except (KeyError, OSError) as error:
            return {"error": f"{self.paths.get(digest, digest)} cannot be read: {error}"}


def scheduler_address(client: Client) -> str:
    """Say where the scheduler of a connected client is."""
    return str(getattr(client.scheduler, "address", ""))


def fetch_from(address: str) -> Fetch:
    """Make what a Dask worker fetches content with."""

    def fetch(digest: str) -> bytes:
        from distributed import get_worker
        from distributed.utils import sync

        worker = get_worker()

        async def ask() -> Any:
            return await worker.rpc(address).content(digest=digest)

        try:
            answer = sync(worker.loop, ask)
        except OSError as error:
            raise UnavailableError(f"this worker cannot reach {address}, where the run was started: {error}") from None
        if "error" in answer:
            raise UnavailableError(answer["error"])
        return bytes(answer["content"])

    return fetch


def local_cell(cell: Cell, fetch: Fetch) -> Cell:
    """Put files of this machine in place of content."""
    files = tuple((part, local(path, fetch)) for part, path in cell.files)
    return replace(cell, path=local(cell.path, fetch), files=files)


def local_setup(setup: Setup, fetch: Fetch) -> Setup:
    """Put plugin files of this machine in place of content."""
    return replace(setup, plugins=tuple(local(path, fetch) for path in setup.plugins))


def local(reference: str, fetch: Fetch) -> str:
    """Return the path of a reference's file in the cache, fetched if it is not there; other paths stay.

    Raises UnavailableError, and RescaleBenchError where the bytes are not those of the hash.
    """
    if not reference.startswith(PREFIX):
        return reference
    digest, _, name = reference.removeprefix(PREFIX).partition("/")
    path = downloads.cache_folder() / "content" / digest[:2] / digest / Path(name).name
    if not path.is_file() or sha256(path) != digest:
        _write(path, _right(fetch(digest), digest, name))
    return str(path)


def _right(content: bytes, digest: str, name: str) -> bytes:
    if hashlib.sha256(content).hexdigest() != digest:
        raise RescaleBenchError(f"{name} changed while the run was going on; run the same command again")
    return content


def _write(path: Path, content: bytes) -> None:
    """Write atomically: other workers of this machine use the same cache."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(number, "wb") as handle:
            handle.write(content)
        os.replace(temporary, path)
    except OSError as error:
        raise UnavailableError(f"cannot write {path}: {error.strerror}; set RESCALE_BENCH_CACHE there") from None

"""SHA-256 of image files: several at once, and remembered from run to run for files that did not change.

What is remembered lies in the cache folder. A file is known again by its path, size, times and inode; one that was
written just now is hashed anyway, since a second write may come within the clock's tick. Whoever reads an image checks
its SHA-256 then, so that a wrong one fails its cells and moves no number.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from rescale_bench.machine.device import usable_cores
from rescale_bench.weights.downloads import cache_folder

NAME = "hashes.sqlite"
FRESH = 2_000_000_000
"""Nanoseconds for which a file counts as just written."""
WAIT = 5
"""Seconds for which another process may hold what is remembered."""


def looked_at(path: Path) -> tuple[str, int]:
    """Give a file's SHA-256 and size; "" and 0 where it cannot be read."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest(), handle.tell()
    except OSError:
        return "", 0


def look_at_all(paths: Iterable[Path]) -> list[tuple[str, int]]:
    """Give the SHA-256 and size of many files, as looked_at does."""
    places = [os.path.abspath(path) for path in paths]
    states = {place: _state(place) for place in places}
    known = _remembered(states)
    missing = [place for place in states if place not in known]
    with ThreadPoolExecutor(usable_cores()) as pool:  # hashing lets other threads run
        found = dict(zip(missing, pool.map(looked_at, map(Path, missing)), strict=True))
    _remember({place: (states[place], digest) for place, (digest, _) in found.items() if digest})
    return [(known[place], int(states[place].split()[0])) if place in known else found[place] for place in places]


def _state(place: str) -> str:
    """Write what changes with a file: "size inode time time"; "" where it cannot be looked at or is just written."""
    try:
        about = os.stat(place)
    except OSError:
        return ""
    if max(about.st_mtime_ns, about.st_ctime_ns) > time.time_ns() - FRESH:
        return ""
    return f"{about.st_size} {about.st_ino} {about.st_mtime_ns} {about.st_ctime_ns}"


@contextlib.contextmanager
def _table() -> Iterator[sqlite3.Connection]:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / NAME, timeout=WAIT)) as table, table:
        table.execute("CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)")
        yield table


def _remembered(states: Mapping[str, str]) -> dict[str, str]:
    """Give the SHA-256 of the files that are known in the state in which they are; nothing where no cache can be."""
    with contextlib.suppress(OSError, sqlite3.Error, UnicodeError), _table() as table:
        rows = (
            row
            for place, state in states.items()
            if state
            for row in table.execute("SELECT path, sha256 FROM hashes WHERE path = ? AND state = ?", (place, state))
        )
        return dict(rows)
    return {}


def _remember(found: Mapping[str, tuple[str, str]]) -> None:
    with contextlib.suppress(OSError, sqlite3.Error, UnicodeError), _table() as table:
        rows = ((place, state, digest) for place, (state, digest) in found.items() if state)
        table.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)", rows)

"""A submission: the rows of a run and what a reader must know of them, in one ZIP archive.

It holds rows.csv (tidy rows), run.json and env.json as a run folder does, small pictures where its maker wants them,
and submission.json, which holds the SHA-256 of all others: a digit changed in one of them is seen.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import StoreError
from rescale_bench.machine.limits import TABLE_VARIABLE, limit_of
from rescale_bench.machine.writing import write_atomically
from rescale_bench.runs.journal import plain

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".zip"
ROWS, CARD, PICTURES = "rows.csv", "submission.json", "pictures"
FORMAT = 1
"""Version of the layout."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member: equal contents are equal files."""
DAMAGE = (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, NotImplementedError, EOFError, RuntimeError)
"""What reading an archive or a card raises where it is not as we write it."""


def write_submission(
    path: Path,
    rows: pd.DataFrame,
    documents: Mapping[str, Mapping[str, Any]],
    card: Mapping[str, Any],
    pictures: Mapping[str, bytes],
) -> None:
    """Write a submission, making its folder.

    documents: JSON files by name. card: what submission.json says beside the hashes. pictures: WebP files by the name
    that the card gives them. Raises OSError.
    """
    members = {ROWS: rows.to_csv(index=False, lineterminator="\n").encode()}
    members |= {name: _json(content) for name, content in documents.items()}
    members |= {f"{PICTURES}/{name}.webp": content for name, content in pictures.items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    members[CARD] = _json({"format": FORMAT, **card, "sha256": hashes})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, packed.getvalue())


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n").encode()


def read_submission(path: Path) -> dict[str, bytes]:
    """Read the members of a submission by name, their hashes checked.

    Raises StoreError for what is none, is damaged, or unpacks to more than the limit of a table; OSError.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > limit_of(TABLE_VARIABLE):
                raise StoreError(f"{path} would unpack to more than allowed (raise {TABLE_VARIABLE})")
            members = {member.filename: archive.read(member) for member in archive.infolist()}
        card = json.loads(members[CARD])
        hashes = dict(card["sha256"])
    except DAMAGE as error:
        raise StoreError(f"{path} is no submission, or a damaged one ({type(error).__name__})") from None
    if card.get("format") != FORMAT:
        raise StoreError(f"{path} has format {card.get('format')} of a submission; this version reads {FORMAT}")
    for name in (ROWS, *hashes):
        if hashlib.sha256(members.get(name, b"")).hexdigest() != hashes.get(name):
            raise StoreError(f"{path} is damaged: {name} is not the file that {CARD} names")
    return members

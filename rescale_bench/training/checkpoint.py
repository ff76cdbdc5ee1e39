"""Checkpoints: everything an exact resume needs, in a file that is either whole or the one before."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rescale_bench.errors import StoreError, UsageError
from rescale_bench.machine.writing import reason, write_atomically

FORMAT = 1


@dataclass
class Progress:
    """How far a training is.

    step: updates done. position: place in the schedule, 0..steps (equal to step unless squeezed into a time).
    seconds: of all sittings. drops, best, stale: of a plateau schedule. rows: the log so far.
    running: sums of the loss terms since the last row, with "count".
    """

    step: int = 0
    position: int = 0
    seconds: float = 0.0
    drops: int = 0
    best: float = float("-inf")
    stale: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)


def write_file(path: Path, data: bytes) -> None:
    """Write a file of a training whole or not at all. Raises StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {reason(error)}") from None


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint (tensors, numbers, texts, lists, dicts). Raises StoreError."""
    import io

    import torch

    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_file(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in it is run. Raises StoreError for a damaged or foreign file."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise StoreError(f"{path} is damaged or no checkpoint ({why})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError(f"{path} is not a checkpoint of this version; start anew in another folder")
    return content


def check_same(path: Path, content: dict[str, Any], wanted: dict[str, str]) -> None:
    """Refuse to resume another training: recipe, data, seed and start must be equal. Raises UsageError."""
    other = [key for key, value in wanted.items() if content.get(key) != value]
    if other:
        raise UsageError(
            f"{path} was trained with another {' and '.join(other)}; give the same settings as before, "
            "or another folder",
            "resume",
        )

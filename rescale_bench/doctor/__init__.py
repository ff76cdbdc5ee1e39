"""Look over an installation: what works, what does not, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]
OK: Status = "ok"
WARNING: Status = "warning"
PROBLEM: Status = "problem"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it stands, what was seen, and what to do ("" where nothing).

    "warning": something optional will not work. "problem": a plain `rescale-bench run` will not, or not as it should.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""

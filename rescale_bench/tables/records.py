"""Write the scores behind a leaderboard for machines: CSV and JSON, one record per method, metric and group."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from rescale_bench.tables.layout import Leaderboard
from rescale_bench.tables.scores import Score

Record = dict[str, str | int | float | bool | None]


def record(score: Score, reference: str) -> Record:
    """Flatten a score. mean: over `finite` images, empty without any, "inf" where all are infinite."""
    difference = score.difference
    return {
        "protocol": score.group.protocol,
        "protocol_version": score.group.protocol_version,
        "dataset": score.group.dataset,
        "scale": score.group.scale,
        "codec": score.group.codec,
        "method": score.label,
        "native": score.native,
        "publishable": score.trained,
        "metric": score.metric,
        "direction": score.about.direction,
        "unit": score.about.unit,
        "mean": _plain(score.mean),
        "pooled": _plain(score.pooled),
        "images": score.images,
        "finite": len(score.finite),
        "infinite": score.count("infinite"),
        "undefined": score.count("undefined"),
        "failed": score.count("failed"),
        "missing": score.missing,
        "ranked": score.ranked,
        "reference": reference,
        "difference": _plain(difference.mean if difference else None),
        "low": _plain(difference.low if difference else None),
        "high": _plain(difference.high if difference else None),
        "pairs": difference.n if difference else None,
        "wins": difference.wins if difference else None,
    }


def _plain(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def to_json(board: Leaderboard) -> str:
    """Write the scores as a JSON list of objects."""
    return json.dumps([record(score, board.reference) for score in board.scores], indent=1, ensure_ascii=False)


def to_csv(board: Leaderboard) -> str:
    """Write the scores as CSV with a header line; missing values are empty."""
    found: list[dict[str, Any]] = [record(score, board.reference) for score in board.scores]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().rstrip("\n")

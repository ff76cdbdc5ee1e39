"""Write the scores behind a leaderboard for machines: CSV and JSON, one record per method, metric and group."""

from __future__ import annotations

import csv
import io
import json
import math

from rescale_bench.tables.distribution import Distance
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


def set_record(one: Distance, reference: str) -> Record:
    """Flatten a value of a whole data set; what only means over images have is empty."""
    return {
        "protocol": one.group.protocol,
        "protocol_version": one.group.protocol_version,
        "dataset": one.group.dataset,
        "scale": one.group.scale,
        "codec": one.group.codec,
        "method": one.label,
        "native": None,
        "publishable": one.trained,
        "metric": one.metric,
        "direction": one.direction,
        "unit": "",
        "mean": one.value,
        "pooled": None,
        "images": one.of,
        "finite": one.images if one.value is not None else 0,
        "infinite": 0,
        "undefined": 0 if one.value is not None else one.images,
        "failed": None,
        "missing": one.of - one.images,
        "ranked": one.ranked,
        "reference": reference,
        "difference": None,
        "low": None,
        "high": None,
        "pairs": None,
        "wins": None,
    }


def records(board: Leaderboard) -> list[Record]:
    """Flatten a leaderboard: means over images, then values of whole data sets."""
    scores = () if board.sets_alone else board.scores
    return [
        *(record(score, board.reference) for score in scores),
        *(set_record(one, board.reference) for one in board.sets),
    ]


def _plain(value: float | None) -> float | str | None:
    if value is None or math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def to_json(board: Leaderboard) -> str:
    """Write the scores as a JSON list of objects."""
    return json.dumps(records(board), indent=1, ensure_ascii=False)


def to_csv(board: Leaderboard) -> str:
    """Write the scores as CSV with a header line; missing values are empty."""
    found = records(board)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(found[0]) if found else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return stream.getvalue().rstrip("\n")

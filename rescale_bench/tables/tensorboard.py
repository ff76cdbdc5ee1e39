"""The means of a run as a TensorBoard log: its HParams page shows them as a table that sorts and filters.

TensorBoard itself and PyTorch's writer do the work; nothing leaves the machine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rescale_bench.errors import UnavailableError

if TYPE_CHECKING:
    from rescale_bench.tables.model import Leaderboard
    from rescale_bench.tables.scores import Group, Score


def write_tensorboard(board: Leaderboard, folder: Path) -> int:
    """Write a log for each method in each setting and at each scale, and count them.

    Method, data set, scale, codec and protocol become hyperparameters, the finite means become metrics. Raises
    UnavailableError where the package is missing, OSError.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UnavailableError("a TensorBoard log needs tensorboard; pip install 'rescale-bench[trackers]'") from None
    together: dict[tuple[Group, str], list[Score]] = {}
    for score in board.scores:
        if score.mean is not None and math.isfinite(score.mean):
            together.setdefault((score.group, score.label), []).append(score)
    for number, ((group, label), scores) in enumerate(together.items(), start=1):
        described = {
            "method": label, "data set": group.dataset, "scale": float(group.scale), "codec": group.codec,
            "protocol": f"{group.protocol} version {group.protocol_version}", "images": scores[0].images,
        }  # fmt: skip
        # Slashes in a name would become folders, and tags of two methods must differ whatever stays of their names.
        name = re.sub(r"[^\w.+-]+", "_", f"{number:03} {group.dataset} x{group.scale} {label}")
        with SummaryWriter(str(folder / name)) as writer:
            writer.add_hparams(described, _means(scores), run_name=".", global_step=0)
    return len(together)


def _means(scores: Sequence[Score]) -> dict[str, float]:
    return {score.metric: float(score.mean) for score in scores if score.mean is not None}

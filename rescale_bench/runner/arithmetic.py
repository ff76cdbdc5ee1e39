"""How numbers inside networks are computed: the columns dtype, batch and compiled of a cell."""

from __future__ import annotations

from dataclasses import dataclass

DTYPES = ("float32", "bf16")


@dataclass(frozen=True)
class Arithmetic:
    """What moves the last digits: dtype, images at once, torch.compile.

    Sums in another order differ by 1e-7, and a pixel that lies on the edge between two levels is then rounded the
    other way: on small images PSNR moves in its fourth digit.
    """

    dtype: str = DTYPES[0]
    batch: int = 1
    compiled: bool = False

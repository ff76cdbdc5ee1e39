"""How numbers inside networks are computed: the part of a cell's key that is called dtype."""

from __future__ import annotations

from dataclasses import dataclass

DTYPES = ("float32", "bf16")
COMPILED, BATCH = "compiled", "batch"


@dataclass(frozen=True)
class Arithmetic:
    """What moves the last digits: dtype, images at once, torch.compile.

    Sums in another order differ by 1e-7, and a pixel that lies on the edge between two levels is then rounded the
    other way: on small images PSNR moves in its fourth digit.
    """

    dtype: str = DTYPES[0]
    batch: int = 1
    compiled: bool = False

    def __str__(self) -> str:
        """Print as "float32", "bf16-batch8", "float32-compiled"."""
        extras = [f"{BATCH}{self.batch}"] * (self.batch > 1) + [COMPILED] * self.compiled
        return "-".join((self.dtype, *extras))

    @classmethod
    def parse(cls, text: str) -> Arithmetic:
        """Read what __str__ wrote."""
        dtype, *extras = text.split("-")
        batch = next((int(extra.removeprefix(BATCH)) for extra in extras if extra.startswith(BATCH)), 1)
        return cls(dtype, batch, COMPILED in extras)

"""What platforms do to an LR image between the halves, and the one way in which everybody lets it happen.

Each damage is deterministic: what it draws comes from the cell's seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rescale_bench.api.hookspecs import hookimpl
from rescale_bench.api.records import Codec, Damage, Option, Passage, Value
from rescale_bench.codecs import encode_decode
from rescale_bench.codecs.pillow_formats import JPEG, WEBP
from rescale_bench.errors import DamageError, RescaleBenchError

if TYPE_CHECKING:
    import numpy as np


def damaged(damage: Damage, pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    """Let a damage happen and check what comes back.

    pixels: uint8 (h, w, C), C = 1 or 3; they stay as they are. Returns the same shape.
    Raises DamageError where the damage fails or gives back another size or type.
    """
    import numpy as np

    try:
        result = damage.strike(pixels.copy(), options, passage)
    except RescaleBenchError:
        raise
    except Exception as error:
        raise DamageError(f"damage {damage.name}: {type(error).__name__}: {error}") from error
    if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != pixels.shape:
        found = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
        raise DamageError(f"damage {damage.name}: uint8 {pixels.shape} went in, {found} came back")
    return result


def _noise(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    import numpy as np

    levels = int(options["levels"])
    noise = passage.draws.randint(-levels, levels + 1, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def _bits(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    import numpy as np

    del passage
    return np.asarray(pixels & np.uint8(256 - (1 << int(options["cleared"]))))


def _ycc(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    """Convert as Pillow does, which rounds down; exact rounding would cost an eighth of a decibel less (Set5 ×2)."""
    import numpy as np
    from PIL import Image

    del options, passage
    return pixels if pixels.shape[2] == 1 else np.asarray(Image.fromarray(pixels).convert("YCbCr").convert("RGB"))


def _brightness(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    import numpy as np

    del passage
    return np.clip(pixels + np.int64(options["levels"]), 0, 255).astype(np.uint8)


def _gamma(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    import numpy as np

    del passage
    table = np.floor(255 * (np.arange(256) / 255) ** float(options["exponent"]) + 0.5)
    return np.asarray(table.astype(np.uint8)[pixels])


def _saved(codec: Codec, pixels: np.ndarray, options: Mapping[str, Value]) -> np.ndarray:
    return encode_decode(codec, pixels, options)[1]


def _jpeg(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    del passage
    return _saved(JPEG, pixels, options)


def _webp(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    del passage
    return _saved(WEBP, pixels, options)


def _resize(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    """Shrink to the longest side, where the image is larger, and enlarge back, as Pillow does both."""
    import numpy as np
    from PIL import Image

    del passage
    height, width = pixels.shape[:2]
    side = int(options["side"])
    longest = max(height, width)
    if longest <= side:
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    size = tuple(max(1, math.floor(each * side / longest + 0.5)) for each in (width, height))
    shrink = {"area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}[str(options["filter"])]
    back = image.resize(size, shrink).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(back).reshape(pixels.shape)


def _crop(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    """Cut each side off and repeat what is the outermost pixel then; at least one pixel is left."""
    import numpy as np

    del passage
    height, width = pixels.shape[:2]
    y, x = (min(int(options["pixels"]), (side - 1) // 2) for side in (height, width))
    return np.pad(pixels[y : height - y, x : width - x], ((y, y), (x, x), (0, 0)), mode="edge")


def _cycles(pixels: np.ndarray, options: Mapping[str, Value], passage: Passage) -> np.ndarray:
    for _ in range(int(options["count"]) - 1):
        pixels = passage.again(pixels)
    return pixels


QUALITY = next(option for option in JPEG.options if option.name == "quality")
SUBSAMPLING = next(option for option in JPEG.options if option.name == "subsampling")

DAMAGES = (
    Damage(
        name="noise",
        summary="uniform noise of up to so many levels (noise:1)",
        strike=_noise,
        options=(Option("levels", 1, "the largest change of a value", low=1, high=255),),
    ),
    Damage(
        name="bits",
        summary="the lowest bits cleared (bits:1)",
        strike=_bits,
        options=(Option("cleared", 1, "how many bits of each value", low=1, high=7),),
    ),
    Damage(
        name="ycc",
        summary="to 8-bit YCbCr and back as Pillow converts, which rounds down: BT.601, all levels, no subsampling",
        strike=_ycc,
    ),
    Damage(
        name="brightness",
        summary="levels added to each value (brightness:4, brightness:-4)",
        strike=_brightness,
        options=(Option("levels", 1, "what is added", low=-255, high=255),),
    ),
    Damage(
        name="gamma",
        summary="each value to the power of an exponent, in [0, 1] (gamma:1.1)",
        strike=_gamma,
        options=(Option("exponent", 1.0, "below 1 the image gets brighter", low=0.01, high=100),),
        neutral=1,
    ),
    Damage(
        name="jpeg",
        summary="saved as JPEG (jpeg:90, jpeg:90:444); twice: jpeg:90+jpeg:75",
        strike=_jpeg,
        options=(QUALITY, SUBSAMPLING),
        neutral=math.inf,
    ),
    Damage(
        name="webp",
        summary="saved as lossy WebP (webp:80)",
        strike=_webp,
        options=(Option("quality", 75, "libwebp's quality", low=1, high=100),),
        neutral=math.inf,
    ),
    Damage(
        name="resize",
        summary="shrunk to a longest side where it is larger, and enlarged back (resize:1600)",
        strike=_resize,
        options=(
            Option("side", 1600, "the longest side that a platform keeps, in pixels", low=1),
            Option("filter", "bicubic", "that it shrinks with; enlarged back is bicubic", choices=("bicubic", "area")),
        ),
        neutral=math.inf,
    ),
    Damage(
        name="crop",
        summary="pixels cut off on each side, and padded back with the outermost ones (crop:8)",
        strike=_crop,
        options=(Option("pixels", 1, "cut off on each side", low=1),),
    ),
    Damage(
        name="cycles",
        summary="so many round trips in place of one: down, up, down, up, … (cycles:3)",
        strike=_cycles,
        options=(Option("count", 2, "round trips in all", low=1, high=100),),
        neutral=1,
    ),
)


@hookimpl
def rescale_bench_damages() -> Iterable[Damage]:
    """Yield the damages of this package."""
    return DAMAGES

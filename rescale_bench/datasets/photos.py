"""The embedded default: colour photographs that scikit-image carries inside its wheel, so nothing is downloaded.

Chosen by eye from skimage/data of scikit-image 0.26: photographs of everyday things, in colour, one per scene.
Left out: the right half of the stereo pair, composites and medical pictures (Hubble, retina, stained tissue),
drawings, and everything grey.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from rescale_bench.api.records import Dataset, ImageFile
from rescale_bench.errors import UnavailableError

FILES = {
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
}
"""File names and the SHA-256 of their bytes, in the order of the names."""

SHAREABLE = frozenset({"astronaut", "chelsea", "coffee", "rocket"})
"""In the public domain or under CC0; of motorcycle_left no licence is stated."""


def photos() -> Sequence[ImageFile]:
    """Find the photographs and check their bytes. Raises UnavailableError where scikit-image changed them."""
    folder = _data_folder()
    return [_checked(folder / name, sha256) for name, sha256 in FILES.items()]


def _data_folder() -> Path:
    spec = importlib.util.find_spec("skimage")  # finds the package without importing it
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise UnavailableError("photos: scikit-image is not installed; run: pip install scikit-image")
    return Path(places[0]) / "data"


def _checked(path: Path, sha256: str) -> ImageFile:
    advice = "run: pip install --force-reinstall scikit-image"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UnavailableError(f"photos: {path} cannot be read ({error.strerror}); {advice}") from None
    if found != sha256:
        raise UnavailableError(f"photos: {path} is not the file that the published rows used; {advice}")
    return ImageFile(path.stem, path)


PHOTOS = Dataset(
    name="photos",
    summary="colour photographs that come with scikit-image: astronaut, chelsea, coffee, motorcycle_left, rocket",
    citation="van der Walt et al., scikit-image: image processing in Python, PeerJ 2:e453, 2014; "
    "motorcycle_left: Scharstein et al., High-resolution stereo datasets, GCPR 2014",
    licence="astronaut (NASA), rocket (SpaceX): public domain; chelsea (S. van der Walt), coffee (R. Michetti): CC0; "
    "motorcycle_left: Middlebury 2014 stereo benchmark, no licence stated",
    count=len(FILES),
    shareable=SHAREABLE.__contains__,
    images=photos,
)

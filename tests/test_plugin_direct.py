import numpy as np
import pytest
import toys
from PIL import Image

from rescale_bench.api.registry import load_registry
from rescale_bench.codecs import JPEG, encode_decode
from rescale_bench.errors import UsageError
from rescale_bench.roundtrip.conformance import verify
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table


def mean_squared(a, b):
    """Of everything but the border of one pixel that rgb8 cuts at scale 1."""
    return ((a[1:-1, 1:-1].astype(float) - b[1:-1, 1:-1]) ** 2).mean()


def test_direct_is_the_codec_and_grey_is_pillows(tmp_path):
    folder = toys.picture_folder(tmp_path / "set", count=1)
    (path,) = folder.glob("*.png")
    picture = np.asarray(Image.open(path).convert("RGB"))
    asked = Request(methods="direct,grey", datasets=str(folder), scales="1", threads=1, codecs="jpeg:20,png",
                    metrics="psnr_rgb,storage_mb", output=tmp_path / "run")  # fmt: skip
    assert execute(asked, load_registry(), ["test"]).exit_code == 0
    rows = read_table(tmp_path / "run").set_index(["method", "codec", "metric"])["value"]
    file, decoded = encode_decode(JPEG, picture, {"quality": 20})
    assert rows["direct", "jpeg:quality=20", "psnr_rgb"] == pytest.approx(
        10 * np.log10(255**2 / mean_squared(decoded, picture))
    )
    assert rows["direct", "jpeg:quality=20", "storage_mb"] == len(file) / 1e6
    assert np.isinf(rows["direct", "png", "psnr_rgb"])
    grey = np.asarray(Image.fromarray(picture).convert("L"))[:, :, None]
    # Pillow's weights are rounded to 16 bits, which moves a level here and there.
    assert rows["grey", "png", "psnr_rgb"] == pytest.approx(
        10 * np.log10(255**2 / mean_squared(grey, picture)), abs=0.01
    )
    assert rows["grey", "png", "storage_mb"] < 0.6 * rows["direct", "png", "storage_mb"]


@pytest.mark.parametrize("spec", ["direct", "grey"])
def test_conformance(spec):
    found = list(verify(spec, load_registry(), sizes=((45, 62),), separate=False))
    assert [one for one in found if one.status == "failed"] == []


def test_grey_pairs_with_networks_that_colour_grey():
    registry = load_registry()
    assert registry.method("grey+irn-color").lr_channels == 1
    with pytest.raises(UsageError, match="irn-color cannot read the LR of direct"):
        registry.method("direct+irn-color")

from decimal import Decimal

import numpy as np
import pytest
import torch
import toys
from lr_images import bicubic_lr
from PIL import Image
from skimage import data

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.codecs import PNG, encode_decode
from rescale_bench.errors import MethodError, NotNativeError, UsageError
from rescale_bench.roundtrip.conformance import verify
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def restored(registry, text, pixels, scale):
    """Run both halves; float64 (H, W, 3) in levels."""
    chosen = registry.choose_method(parse_spec(text))
    built = chosen.record.build({}, "cpu", chosen.options)
    hr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    image = built.upscale(built.downscale(hr, scale), scale, pixels.shape[:2])
    return image[0].permute(1, 2, 0).double().numpy() * 255


@pytest.mark.parametrize("spec", ["ceiling-jxl", "ceiling-jp2", "pca"])
def test_conformance(registry, spec):
    found = list(verify(spec, registry, sizes=((45, 62),), scales=(Decimal("2"), Decimal("3.7")), separate=False))
    assert [one for one in found if one.status == "failed"] == []


@pytest.mark.parametrize(("name", "budget"), [("jxl", "png"), ("jp2", "raw"), ("jp2", "png")])
def test_it_is_as_good_as_the_best_file_that_fits(registry, tmp_path, name, budget):
    picture = data.astronaut()[:128, 160:288].copy()
    Image.fromarray(picture).save(tmp_path / "hr.png")
    lr = bicubic_lr(tmp_path / "hr.png", 4)
    most = lr.size if budget == "raw" else len(encode_decode(PNG, lr, {})[0])
    settings = {"jxl": ("distance", np.geomspace(0.01, 25, 40)), "jp2": ("rate", np.geomspace(24, 0.05, 40))}
    option, values = settings[name]
    effort = {"effort": 5} if name == "jxl" else {}
    files = [encode_decode(registry.codecs[name], picture, {option: value, **effort}) for value in values]
    error = ((restored(registry, f"ceiling-{name}:budget={budget}", picture, 4) - picture) ** 2).mean()
    best = min(((pixels - picture.astype(float)) ** 2).mean() for file, pixels in files if len(file) <= most)
    assert error < 1.1 * best  # the grid is coarse
    assert error > min(
        ((pixels - picture.astype(float)) ** 2).mean() for file, pixels in files if len(file) <= 1.4 * most
    )


def test_the_budget_of_a_method_is_the_png_of_its_own_lr(registry):
    picture = data.astronaut()[:128, 160:288].copy()
    assert np.array_equal(restored(registry, "bicubic-ceiling-jp2", picture, 4),
                          restored(registry, "ceiling-jp2", picture, 4))  # fmt: skip
    chosen = registry.choose_method(parse_spec("nearest"))
    hr = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    lr = chosen.record.build({}, "cpu", chosen.options).downscale(hr, 4)[0].clamp(0, 1)
    most = len(encode_decode(PNG, (lr * 255).round().byte().permute(1, 2, 0).contiguous().numpy(), {})[0])
    files = [encode_decode(registry.codecs["jp2"], picture, {"rate": rate}) for rate in np.geomspace(24, 0.05, 40)]
    errors = {len(file): ((pixels - picture.astype(float)) ** 2).mean() for file, pixels in files}
    error = ((restored(registry, "nearest-ceiling-jp2", picture, 4) - picture) ** 2).mean()
    assert error < 1.1 * min(value for size, value in errors.items() if size <= most)
    assert error > min(value for size, value in errors.items() if size <= 1.4 * most)


@pytest.mark.parametrize("name", ["edsr", "pca", "ceiling-jxl", "irn-jpeg"])
def test_a_method_without_a_png_of_an_lr_has_no_ceiling(registry, name):
    with pytest.raises(UsageError, match=f"{name} has no LR whose PNG could be counted"):
        registry.choose_method(parse_spec(f"{name}-ceiling-jxl"))


def test_lossless_where_that_fits(registry):
    flat = np.full((64, 64, 3), 90, np.uint8)
    flat[10:50, 20:40] = (200, 30, 120)
    for name in ("jxl", "jp2"):
        assert np.allclose(restored(registry, f"ceiling-{name}:raw,lossless=true", flat, 2), flat, atol=1e-4)


def test_a_budget_that_nothing_fits_into_is_an_error(registry):
    with pytest.raises(MethodError, match="no jxl file of 128×96 pixels fits into 12 bytes"):
        restored(registry, "ceiling-jxl:raw", toys.picture(96, 128), 64)


def test_pca_is_the_truncated_singular_value_decomposition(registry):
    picture = toys.picture(48, 64)
    side = 4  # two LR pixels of scale 2
    rows = picture.astype(float).reshape(12, side, 16, side, 3).transpose(0, 2, 1, 3, 4).reshape(12 * 16, -1)
    u, s, v = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    kept = (u[:, :12] * s[:12]) @ v[:12] + rows.mean(axis=0)
    expected = kept.reshape(12, 16, side, side, 3).transpose(0, 2, 1, 3, 4).reshape(48, 64, 3)
    np.testing.assert_allclose(restored(registry, "pca", picture, 2), expected, atol=1e-3)
    with pytest.raises(NotNativeError, match="whole numbers"):
        restored(registry, "pca", picture, 2.5)


def test_a_run_shows_them_as_ceilings(registry, tmp_path):
    folder = toys.picture_folder(tmp_path / "set", count=2)
    asked = Request(methods="ceiling-jp2,irn-ceiling-jp2:weights=base,bicubic", datasets=str(folder), scales="2",
                    threads=1, metrics="psnr_y,psnr_lr,bpp", output=tmp_path / "run")  # fmt: skip
    assert execute(asked, registry, ["test"]).exit_code == 0
    rows = read_table(tmp_path / "run")
    mine = rows[rows["method"] != "bicubic"]
    assert set(mine["weights"]) == {"", "base"}
    assert mine["ceiling"].all()
    assert set(mine.loc[mine["metric"] == "psnr_y", "status"]) == {"ok"}
    assert set(mine.loc[mine["metric"] != "psnr_y", "status"]) == {"undefined"}

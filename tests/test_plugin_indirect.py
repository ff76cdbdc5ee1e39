from decimal import Decimal

import pytest
import torch
import toys

from rescale_bench.api.registry import load_registry
from rescale_bench.api.scales import lr_size
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import UsageError
from rescale_bench.images.resize import imresize


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return load_registry([toys.plugin_file(tmp_path_factory.mktemp("p"), toys.FIXED)])


def build(registry, text):
    chosen = registry.choose_method(parse_spec(text, "-m"))
    return chosen.record.build({}, "cpu", chosen.options)


def image(height=47, width=62):
    return torch.from_numpy(toys.picture(height, width)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", ["boxes-type3", "boxes-ceil", "boxes-type1", "bicubic-type3", "bicubic+boxes-type1"])
@pytest.mark.parametrize("scale", ["1.1", "1.9", "2", "2.3", "3", "3.7", "4"])
def test_sizes_are_a_native_methods(registry, name, scale):
    rescaler, hr, factor = build(registry, name), image(), float(Decimal(scale))
    lr = rescaler.downscale(hr, factor)
    assert lr.shape[-2:] == lr_size((47, 62), factor)
    assert rescaler.upscale(lr.float().clamp(0, 1), factor, (47, 62)).shape == hr.shape


@pytest.mark.parametrize(("scale", "base"), [(1.4, 2), (2.6, 4)])
def test_type3_is_bicubic_up_model_and_bicubic_back(registry, scale, base):
    hr, rescaler, boxes = image(), build(registry, "boxes-type3"), build(registry, "boxes")
    low = lr_size((47, 62), scale)
    large = imresize(hr, size=(low[0] * base, low[1] * base))
    lr = rescaler.downscale(hr, scale)
    assert torch.allclose(lr, boxes.downscale(large, base))
    up = imresize(boxes.upscale(lr, base, large.shape[-2:]), size=(47, 62))
    assert torch.allclose(rescaler.upscale(lr, scale, (47, 62)), up)


def test_ceil_takes_the_model_of_the_next_integer(registry):
    hr, rescaler, boxes = image(), build(registry, "boxes-ceil"), build(registry, "boxes")
    low = lr_size((47, 62), 2.3)
    assert torch.allclose(
        rescaler.downscale(hr, 2.3), boxes.downscale(imresize(hr, size=(low[0] * 3, low[1] * 3)), 3.0)
    )


def test_a_native_scale_goes_straight_to_the_model(registry):
    hr, boxes = image(), build(registry, "boxes")
    for name in ("boxes-type3", "boxes-ceil"):
        assert torch.equal(build(registry, name).downscale(hr, 2.0), boxes.downscale(hr, 2.0))


def test_type1_shrinks_with_bicubic_and_stays_aligned(registry):
    hr, rescaler = image(80, 90), build(registry, "bicubic-type1")
    lr = rescaler.downscale(hr, 1.7)
    plain = build(registry, "bicubic")
    assert torch.allclose(lr, plain.downscale(hr, 1.7))
    direct = plain.upscale(lr.float(), 1.7, (80, 90))
    indirect = rescaler.upscale(lr.float(), 1.7, (80, 90))
    shifted = torch.roll(direct, 1, -1)
    near, far = ((indirect - other)[..., 5:-5, 5:-5].abs().mean() for other in (direct, shifted))
    assert near < far / 5


def test_the_missing_model_of_ceil_is_a_siblings(registry):
    method = registry.method("irn-ceil")
    assert method.parts(Decimal("2.4")) == ("irn-ld/x3",)
    assert method.parts(Decimal("1.4")) == ("irn/x2",)
    assert method.parts(Decimal(4)) == ("irn/x4",)
    assert registry.method("irn-type3").parts(Decimal("2.4")) == ("irn/x4",)


def test_the_antialias_switch_of_the_last_step(registry):
    hr = image()
    sharp, soft = (build(registry, f"boxes-type3:indirect_antialias={flag}") for flag in ("false", "true"))
    lr = soft.downscale(hr, 1.5)
    assert not torch.equal(sharp.upscale(lr, 1.5, (47, 62)), soft.upscale(lr, 1.5, (47, 62)))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("irn-ld-type3", "needs a ×2 or ×4 model"),
        ("irn-e-ceil", "no ×2 model"),
        ("edsr-type3", "edsr has no downscaler; use edsr-type1"),
        ("irn-color-type3", "cannot be wrapped"),
        ("identity-type3-type3", "cannot be wrapped"),
    ],
)
def test_what_cannot_be_wrapped_says_why(registry, name, says):
    with pytest.raises(UsageError, match=says):
        registry.method(name)


def test_the_ceiling_beats_any_real_method_and_has_no_lr_scores(registry, tmp_path):
    from rescale_bench.runner.execute import execute
    from rescale_bench.runner.request import Request
    from rescale_bench.runs.folder import read_table

    folder = toys.picture_folder(tmp_path / "set", count=2)
    asked = Request(methods="identity-type3,bicubic", datasets=str(folder), scales="1.6,3.3", threads=1,
                    metrics="psnr_y,psnr_lr,bpp_png", output=tmp_path / "run")  # fmt: skip
    assert execute(asked, registry, ["test"]).exit_code == 0
    rows = read_table(tmp_path / "run")
    mean = rows[rows["metric"] == "psnr_y"].groupby(["scale", "method"])["value"].mean()
    assert all(mean[scale, "identity-type3"] > mean[scale, "bicubic"] for scale in ("1.6", "3.3"))
    ceiling = rows[(rows["method"] == "identity-type3") & (rows["metric"] != "psnr_y")]
    assert set(ceiling["status"]) == {"undefined"}
    assert ceiling["ceiling"].all()

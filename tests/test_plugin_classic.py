from decimal import Decimal

import numpy as np
import pytest
import torch
from rescale_bench_plugins.classic import KERNELS

from rescale_bench.api.registry import load_registry
from rescale_bench.api.specs import parse_spec
from rescale_bench.errors import UsageError
from rescale_bench.images.files import read_image
from rescale_bench.runner.execute import execute
from rescale_bench.runner.request import Request
from rescale_bench.runs.folder import read_table

PUBLISHED = [  # AIDN, FGRN, IRN and CAR print the same bicubic rows: scale, PSNR-Y, SSIM-Y
    ("2", 33.66, 0.9299),
    ("3", 30.39, 0.8682),
    ("4", 28.42, 0.8104),
]


@pytest.fixture(scope="module")
def registry():
    return load_registry()


def means(folder, registry, **asked):
    request = Request(methods="bicubic", output=folder, threads=1, **asked)
    assert execute(request, registry, ["test"]).exit_code == 0
    return read_table(folder).groupby(["dataset", "scale", "metric"])["value"].mean()


def test_the_published_bicubic_rows_of_set5(data_root, registry, tmp_path):
    found = means(tmp_path, registry, datasets="Set5", scales="2,3,4", protocol="srcnn-y", metrics="psnr_y,ssim_y")
    for scale, psnr, ssim in PUBLISHED:
        assert found["Set5", scale, "psnr_y"] == pytest.approx(psnr, abs=0.005)
        assert found["Set5", scale, "ssim_y"] == pytest.approx(ssim, abs=1e-4)


def test_the_published_bicubic_rows_of_set14_whose_files_are_cropped(data_root, registry, tmp_path):
    found = means(tmp_path, registry, datasets="Set14", scales="2,4", protocol="srcnn-y", metrics="psnr_y,ssim_y")
    for scale, psnr, ssim in (("2", 30.24, 0.8688), ("4", 26.00, 0.7027)):
        assert found["Set14", scale, "psnr_y"] == pytest.approx(psnr, abs=0.012)
        assert found["Set14", scale, "ssim_y"] == pytest.approx(ssim, abs=1e-3)


def test_rgb8_and_piqe_on_set5(data_root, registry, tmp_path):
    metrics = "psnr_y,ssim_y,piqe_lr,piqe_lr:channels=bgr"
    found = means(tmp_path, registry, datasets="Set5", scales="2,4", metrics=metrics)["Set5"]
    assert found["2", "psnr_y"] == pytest.approx(33.682, abs=5e-4)
    assert found["2", "ssim_y"] == pytest.approx(0.9305, abs=5e-5)
    rows = {("2", "piqe_lr"): 40.521, ("2", "piqe_lr:channels=bgr"): 38.561,
            ("4", "piqe_lr"): 52.898, ("4", "piqe_lr:channels=bgr"): 51.101}  # fmt: skip
    for key, value in rows.items():
        assert found[key] == pytest.approx(value, abs=0.001)


def test_published_fractional_bicubic_of_set5(data_root, registry, tmp_path):
    found = means(tmp_path, registry, datasets="Set5", scales="1.6", protocol="srcnn-y", metrics="psnr_y")
    assert found["Set5", "1.6", "psnr_y"] == pytest.approx(36.10, abs=0.01)


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("scale", ["1.7", "2", "3.3"])
def test_a_gradient_stays_where_it_is(registry, kernel, scale):
    """Down and up again must not shift a ramp; nearest picks one of two equally near pixels at x2: half a step."""
    chosen = registry.choose_method(parse_spec(kernel, "-m"))
    rescaler = chosen.record.build({}, "cpu", chosen.options)
    ramp = torch.linspace(0.2, 0.8, 120).expand(1, 3, 60, 120).contiguous()
    factor = float(Decimal(scale))
    back = rescaler.upscale(rescaler.downscale(ramp, factor).float(), factor, (60, 120))
    step = 0.6 / 119
    inner = (back - ramp)[..., 20:-20, 20:-20]
    assert abs(float(inner.mean())) < step * (0.51 if kernel == "nearest" else 0.02)


def test_antialiasing_can_be_switched_off(registry, data_root):
    image = read_image(data_root / "Set5" / sorted(p.name for p in (data_root / "Set5").iterdir())[0])
    hr = torch.from_numpy(np.ascontiguousarray(image.pixels.transpose(2, 0, 1)))[None].float() / 255
    small = [
        chosen.record.build({}, "cpu", chosen.options).downscale(hr, 3.0)
        for chosen in (
            registry.choose_method(parse_spec(f"bicubic:antialias={flag}", "-m")) for flag in ("true", "false")
        )
    ]
    assert small[1].std() > small[0].std()


def test_the_parameter_of_bicubic(registry):
    def shrink(spec):
        chosen = registry.choose_method(parse_spec(spec, "-m"))
        return chosen.label, chosen.record.build({}, "cpu", chosen.options).downscale(hr, 2.5)

    hr = torch.rand(1, 3, 20, 30)
    label, default = shrink("bicubic")
    assert label == "bicubic"
    for spec in ("bicubic:a=-0.5", "catmull-rom"):
        assert torch.equal(shrink(spec)[1], default)
    label, sharper = shrink("bicubic:a=-0.75")
    assert label == "bicubic:a=-0.75"
    assert sharper.std() > default.std() > shrink("mitchell")[1].std()
    with pytest.raises(UsageError, match="a=1"):
        shrink("bicubic:a=1")

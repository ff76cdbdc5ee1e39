import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr, ycbcr2rgb

from rescale_bench.errors import UsageError
from rescale_bench.images import color
from rescale_bench.images.color import luma

WEIGHTS = {
    "bt601": ((65.481, 128.553, 24.966), 255, 16),
    "car": ((65.738, 129.057, 25.064), 255, 16),
    "full": ((0.299, 0.587, 0.114), 1, 0),
}


def image(*shape):
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("which", WEIGHTS)
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32, torch.float64])
def test_equals_the_formula(which, kind):
    rgb = image(2, 3, 40, 50)
    (r, g, b), divisor, offset = WEIGHTS[which]
    values = rgb.numpy().astype(np.float64)
    expected = (r * values[:, 0] + g * values[:, 1] + b * values[:, 2]) / divisor + offset
    actual = luma(rgb.to(kind), which)
    assert actual.dtype == torch.float64
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(luma(rgb.to(kind), which, torch.float32), expected, rtol=0, atol=1e-4)


def test_bt601_is_scikit_images():
    rgb = image(3, 60, 70)
    expected = rgb2ycbcr(rgb.permute(1, 2, 0).numpy())[..., 0]
    np.testing.assert_allclose(luma(rgb), expected, rtol=0, atol=1e-12)


def test_rounded_is_half_up_to_whole_numbers():
    rgb = image(3, 60, 70)
    rounded = luma(rgb, "bt601-rounded")
    assert torch.equal(rounded, rounded.round())
    assert torch.equal(rounded, (luma(rgb) + 0.5).floor())
    # 65.481·85/255 + 128.553·85/255 + 24.966·85/255 = 73 exactly, so a grey of 85 is 89
    assert luma(torch.full((3, 1, 1), 85, dtype=torch.uint8)).item() == 89


def test_ends_of_the_range():
    black, white = torch.zeros(3, 1, 1, dtype=torch.uint8), torch.full((3, 1, 1), 255, dtype=torch.uint8)
    assert [luma(black).item(), luma(white).item()] == [16, 235]
    assert [luma(black, "full").item(), luma(white, "full").item()] == [0, 255]
    assert luma(white, "car").item() == pytest.approx(235.859)


def test_float_images_stay_unchanged():
    rgb = image(3, 5, 5).double()
    before = rgb.clone()
    luma(rgb)
    luma(rgb, "bt601-rounded")
    assert torch.equal(rgb, before)


@pytest.mark.parametrize("shape", [(1, 4, 4), (4, 4), (4, 4, 3)])
def test_refuses_images_without_three_channels(shape):
    with pytest.raises(UsageError, match="3, H, W"):
        luma(image(*shape))


def test_refuses_unknown_formulas():
    with pytest.raises(UsageError, match="bt601"):
        luma(image(3, 4, 4), "bt709")


def test_ycbcr_is_scikit_images():
    rgb = torch.rand(2, 3, 5, 6, dtype=torch.float64)
    expected = torch.from_numpy(rgb2ycbcr(rgb.numpy(), channel_axis=1)) / 255
    found = color.to_ycbcr(rgb)
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(color.from_ycbcr(found), torch.from_numpy(ycbcr2rgb(expected.numpy() * 255, channel_axis=1)))
    assert torch.allclose(color.from_ycbcr(found), rgb, atol=1e-12)

"""JPEG in training against Pillow's, and the losses of networks that simulate it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from rescale_bench.roundtrip.conformance import make_image
from rescale_bench.training import jpeg_layer
from rescale_bench.training.jpeg_layer import compress, compress_softly


def picture(size=(45, 62)):
    """Smooth a test picture, so that JPEG keeps some of it; 8-bit levels in [0, 1]."""
    image = make_image(size)[None].float() / 255
    return torch.nn.functional.avg_pool2d(image, 3, 1, 1).mul(255).round() / 255


def psnr(first, second):
    return float(-10 * torch.log10((first - second).square().mean()))


@pytest.mark.parametrize("quality", [5, 30, 75, 90, 100])
def test_tables_are_libjpegs(quality):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(buffer, "JPEG", quality=quality)
    for index, table in enumerate((jpeg_layer.LUMA, jpeg_layer.CHROMA)):
        found = jpeg_layer._scaled(torch.tensor(table), quality).flatten().int().tolist()
        assert found == list(Image.open(buffer).quantization[index])


def test_compress_is_pillow():
    image = picture()
    pixels = image[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    expected = torch.from_numpy(np.asarray(Image.open(buffer)).copy()).permute(2, 0, 1)
    assert torch.equal(compress(image, 60)[0].mul(255).round().byte(), expected)


@pytest.mark.parametrize("quality", [30, 75, 90])
def test_the_stand_in_is_near_the_codec(quality):
    """Its error is at least ten times (10 dB) below JPEG's own, whether its rounding is hard or cubic."""
    image = picture()
    real = compress(image, quality)
    for cubic in (False, True):
        assert psnr(compress_softly(image, quality, cubic), real) > psnr(real, image) + 10


def test_gradients_pass():
    image = picture((16, 16)).requires_grad_()
    compress_softly(image, 75).square().sum().backward()
    assert image.grad.isfinite().all()
    assert float((image.grad.abs() > 1e-3).float().mean()) > 0.9


def test_a_flat_image_of_few_colours_comes_back():
    grey = torch.full((1, 3, 24, 40), 128 / 255)
    torch.testing.assert_close(compress_softly(grey, 75, cubic=False), grey, atol=1e-5, rtol=0)

"""Luma and chroma of JPEG files against Pillow's own conversion."""

import numpy as np
import torch
from PIL import Image

from rescale_bench.images.jfif import rgb_to_ycc, ycc_to_rgb


def test_equals_pillow_within_its_rounding():
    levels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expected = torch.from_numpy(np.asarray(Image.fromarray(levels).convert("YCbCr")).copy()).permute(2, 0, 1).float()
    luma, chroma = rgb_to_ycc(torch.from_numpy(levels).permute(2, 0, 1)[None].float())
    assert (torch.cat((luma, chroma + 128), 1)[0] - expected).abs().max() <= 1


def test_the_inverse_gives_the_colours_back():
    rgb = torch.rand(2, 3, 4, 5)
    assert torch.allclose(ycc_to_rgb(*rgb_to_ycc(rgb)), rgb, atol=2e-6)
    grey = torch.full((1, 3, 2, 2), 0.3)
    assert rgb_to_ycc(grey)[1].abs().max() < 1e-7

"""Padding against numpy's."""

import numpy as np
import pytest
import torch

from rescale_bench.networks.padding import crop, pad_to_multiple


@pytest.mark.parametrize(
    ("size", "multiple", "mode"),
    [((45, 62), 4, "reflect"), ((9, 9), 8, "reflect"), ((2, 3), 8, "edge"), ((1, 1), 2, "edge")],
)
def test_padding_equals_numpy(size, multiple, mode):
    image = torch.rand(1, 3, *size)
    amounts = [(0, 0), (0, 0), (0, -size[0] % multiple), (0, -size[1] % multiple)]
    padded = pad_to_multiple(image, multiple)
    assert torch.equal(padded, torch.from_numpy(np.pad(image.numpy(), amounts, mode)))
    assert torch.equal(crop(padded, size), image)


def test_each_axis_is_judged_alone():
    image = torch.rand(1, 1, 1, 7)
    padded = pad_to_multiple(image, 4)
    assert padded.shape[-2:] == (4, 8)
    assert torch.equal(padded[0, 0, 3], torch.cat((image[0, 0, 0], image[0, 0, 0, 5:6])))


def test_fitting_images_are_not_copied():
    image = torch.rand(1, 3, 8, 16)
    assert pad_to_multiple(image, 8) is image
